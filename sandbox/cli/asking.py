"""How does a command ask the running service? Once it is up, and what goes wrong is one sentence and an exit code."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final, TypeVar

from sandbox.cli.common import ExitCode, fail

if TYPE_CHECKING:
    from sandbox.client import Client, ClientError, Identity
    from sandbox.deployment import Deployment

STARTING_S: Final = 15.0
"""How long a service that is being started is waited for; a command pasted after `sandbox serve &` comes too early."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_UNREACHED: Final = "failed to connect to all addresses"
"""How gRPC says that nothing listens there: nothing was sent, so asking again is safe."""

UNTOLD: Final = (
    "; a call with effects may have taken effect: `sandbox log open`, or once it is served again `sandbox log list"
    " --kind orphan`, names those that had begun; give such calls a --request-id, under which they may be sent again"
)
UNTOLD_OF_ID: Final = (
    "; a call with effects may have taken effect: the same command with this --request-id asks for its end and runs"
    " nothing twice, and `sandbox log open` names calls that had begun"
)

Told = TypeVar("Told")


def asked(
    ask: Callable[[Client], Told], root: Path, name: str, address: str, *, is_json: bool, untold: str = ""
) -> Told:
    """Ask the service; turn what the client raises into one sentence and an exit code.

    `untold` is said besides where the request was sent and its end was not heard.
    """
    from sandbox.client import ClientError

    _check_address(address)
    try:
        return _waited(ask, root, name, address)
    except ClientError as error:
        code, reason = _meaning(error)
        message = str(error)
        if message.startswith(_UNREACHED):
            message = f"no service answers at {address or 'the address in state/address'}; is `sandbox serve` running?"
        elif _may_have_begun(error):
            message = f"{message}{_named(error)}{untold}"
        if reason and not is_json:
            message = f"{reason}: {message}"
        fail(code, message, is_json=is_json, reason=reason)


def _may_have_begun(error: ClientError) -> bool:
    """Whether what was asked reached a service whose answer was not heard."""
    from sandbox.client import Unavailable

    if not isinstance(error, Unavailable) or error.is_absent:
        return False
    return not error.reason or error.effect == "unknown"


def _named(error: ClientError) -> str:
    from sandbox.client import Unavailable

    call_id = error.call_id if isinstance(error, Unavailable) else ""
    return f"; it is call {call_id}" if call_id else ""


def _waited(ask: Callable[[Client], Told], root: Path, name: str, address: str) -> Told:
    """Ask, and again for a few seconds where a service of this machine is not up yet."""
    from sandbox.client import Client, Unavailable, address_of

    identity = identity_of(root, name)
    begun = time.monotonic()
    ends, is_told = begun + (0 if address else STARTING_S), False
    while True:
        try:
            with Client(address or address_of(root), identity) as client:
                return ask(client)
        except Unavailable as error:
            if not (error.is_absent or str(error).startswith(_UNREACHED)) or time.monotonic() >= ends:
                raise
        if not is_told and time.monotonic() - begun > 1:
            sys.stderr.write(f"… waiting for the service, up to {STARTING_S:g} s\n")
            is_told = True
        Event().wait(0.05)


def _meaning(error: ClientError) -> tuple[ExitCode, str]:
    """Return the exit code of what has no receipt, and its reason."""
    from sandbox.client import NotAuthenticated, ReceiptInvalid, ServiceError

    match error:
        case NotAuthenticated():
            return ExitCode.NOT_AUTHENTICATED, error.reason
        case ReceiptInvalid():
            return ExitCode.REFUSED, ""
        case ServiceError(reason=reason) if reason:
            return ExitCode.REFUSED, reason
        case _:
            return ExitCode.FAULT, error.reason


def identity_of(root: Path, name: str) -> Identity:
    """Return an identity of the deployment; raises `Misconfigured`, or `Refused` with what makes the file it lacks."""
    from sandbox.client import Identity, NotAuthenticated, Unavailable
    from sandbox.deployment import Deployment, Misconfigured
    from sandbox.reasons import Reason, Refused, quoted

    if not _NAME.fullmatch(name):
        raise Misconfigured(f"--as {quoted(name)}: an identity's name has letters, digits, `.`, `_` and `-`")
    try:
        return Identity.from_deployment(root, name)
    except Unavailable as error:
        raise Misconfigured(f"{error}, --deployment names another") from error
    except NotAuthenticated as error:
        missing = error.__cause__.filename if isinstance(error.__cause__, FileNotFoundError) else root
        what = f"the identity {quoted(name)} lacks it; {_how_to_make(Deployment(root), name)}"
        raise Refused(Reason.CREDENTIAL_MISSING, f"{missing}: there is no such file; {what}") from error
    except UnicodeDecodeError as error:
        token, key = Deployment(root).tokens / f"{name}.jwt", Deployment(root).keys / "log.vkey"
        raise Misconfigured(f"{token if error.encoding == 'ascii' else key}: not text; is it another file?") from error


def _how_to_make(deployment: Deployment, name: str) -> str:
    """Return the command that makes an identity's files, with a role: a token without one is permitted nothing."""
    from sandbox.policy import unspoken_roles
    from sandbox.reasons import quoted

    _, roles = unspoken_roles(deployment.policies, ())
    if not roles or (deployment.tokens / f"{name}.jwt").exists():
        return f"`sandbox token new {name}` makes it"
    spoken = ", ".join(quoted(role) for role in roles)
    return f"`sandbox token new {name} --role {roles[0]}` makes it (policies speak of the roles {spoken})"


def _check_address(address: str) -> None:
    """Raise `Misconfigured` if nothing can be reached under the text; empty is the service over the deployment."""
    from sandbox.deployment import Misconfigured
    from sandbox.reasons import quoted

    found = _ADDRESS.fullmatch(address)
    if address and not (found and 0 < int(found["port"]) < 65_536):
        raise Misconfigured(f"--address {quoted(address)}: HOST:PORT is accepted, such as `127.0.0.1:7443`")
