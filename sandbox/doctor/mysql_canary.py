"""Does a login on MariaDB really see what its rights say? Tried on the sandbox's own canary and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.doctor.findings import Finding
from sandbox.doctor.mysql_look import Look
from sandbox.executors.mysql import KEY
from sandbox.executors.mysql_claims import KEY_BYTES, signed, tell
from sandbox.executors.mysql_shape import CANARY, quoted_name
from sandbox.executors.mysql_talk import Failed, Talk
from sandbox.values import JsonObject

_FORBIDDEN: Final = (
    ("SELECT * FROM {own}.`canary`", "read a table that it may not"),
    ("SELECT * FROM {own}.`claims_key`", "read the key of the claims"),
    ("SELECT {own}.`claims_key`()", "ask for the key of the claims"),
    ("INSERT INTO {own}.`canary` VALUES ('mine', 'written')", "write"),
    ("UPDATE `sandbox_canary` SET `note` = 'written'", "write through a view"),
    ("CREATE TEMPORARY TABLE `sandbox_made` (`x` integer)", "make a temporary table"),
    ("SELECT 1 INTO OUTFILE '/sandbox/no/such/folder'", "write files of the server"),
)
"""Statement, and what a login that got away with it could do. Each runs in a transaction that is rolled back."""
_WRITES: Final = ("INSERT ", "UPDATE ")
"""What a read replica refuses whoever asks, so that there it tells nothing of rights; those are looked at besides."""
_NO_RIGHT: Final = frozenset({1044, 1045, 1142, 1143, 1227, 1370})
_NOT_READ_ONLY: Final = ("0", "OFF")
_UNSIGNED: Final = 1644
"""What the function that tells claims says of claims that nobody signed."""


def check_canary(look: Look) -> Iterator[Finding]:
    """Find logins that see too much or too little of the canary, or get away with what is forbidden."""
    key = _key(look)
    if key is None:
        yield Finding("canary-key", f"{look.claims_login} is not given the key of the claims", look.run_again)
    for shape in look.shapes:
        talk = look.log_in(shape.login, shape.schema)
        if talk is None:
            continue  # which is a finding of its own
        try:
            yield from _tried(look, talk, shape.login)
            if key is not None:
                yield from _claimed(look, talk, shape.login, key)
        finally:
            talk.wire.close()


def _key(look: Look) -> bytes | None:
    talk = look.log_in(look.claims_login, look.own)
    if talk is None:
        return None
    try:
        ((told,),) = talk.ask(f"SELECT HEX({quoted_name(look.own)}.{KEY}())")
    except Failed:
        return None
    finally:
        talk.wire.close()
    key = bytes.fromhex(told or "")
    return key if len(key) == KEY_BYTES else None


def _tried(look: Look, talk: Talk, login: str) -> Iterator[Finding]:
    ((read_only,),) = talk.ask("SELECT @@GLOBAL.read_only")
    for statement, what in _FORBIDDEN:
        if read_only not in _NOT_READ_ONLY and statement.startswith(_WRITES):
            continue
        if _outcome(talk, statement.format(own=quoted_name(look.own))) not in _NO_RIGHT:
            yield Finding(
                "canary-forbidden", f"{login} is not kept by its rights from what would {what}", look.run_again
            )


def _outcome(talk: Talk, statement: str) -> int:
    """Return the number of the error that a statement ends with, in a transaction that is rolled back; 0 for none."""
    talk.ask("START TRANSACTION")
    try:
        talk.ask(statement)
    except Failed as error:
        return error.number
    finally:
        talk.ask("ROLLBACK")
    return 0


def _claimed(look: Look, talk: Talk, login: str, key: bytes) -> Iterator[Finding]:
    theirs: JsonObject = {"canary": "theirs"}
    elsewhere = signed(theirs, key, f"{talk.connection_id}0", talk.server_time)
    said: Sequence[tuple[str, object, object]] = [
        ("of the caller's own rows", _seen(talk, _signed(talk, {"canary": "mine"}, key)), ["may be seen"]),
        ("without a claim of that name", _seen(talk, _signed(talk, {}, key)), []),
        ("with a forged claim", _seen(talk, _signed(talk, theirs, bytes(KEY_BYTES))), _UNSIGNED),
        ("with the claims of another connection", _seen(talk, elsewhere), _UNSIGNED),
        ("without claims", _seen(talk, ""), _UNSIGNED),
    ]
    for what, found, wanted in said:
        if found != wanted:
            message = f"{login} does not see of the canary what it should, asked {what}: row filters do not hold"
            yield Finding("canary-claims", message, look.run_again)


def _signed(talk: Talk, claims: JsonObject, key: bytes) -> str:
    return signed(claims, key, talk.connection_id, talk.server_time)


def _seen(talk: Talk, setting: str) -> object:
    talk.ask(tell(setting))
    try:
        return [note for (note,) in talk.ask(f"SELECT `note` FROM {quoted_name(CANARY)}")]
    except Failed as error:
        return error.number
