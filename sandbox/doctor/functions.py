"""Which functions does the script put into the database? Their bodies, rights and reasons, for script and checks alike.

Every `SECURITY DEFINER` function has its search path pinned and belongs to a role that nobody can log in as. The masks
name everything with its schema instead, so that they need no setting and the planner can write them out in the view.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final, Literal, final

from sandbox.doctor.quoting import quoted_text

_PINNED: Final = ("search_path", "pg_catalog")

_CLAIM: Final = """
DECLARE
  token text := current_setting('sandbox.claims', true);
  told text := split_part(token, '.', 1);
  signed bytea;
  expected text;
BEGIN
  -- What was signed, with what and for which transaction: a token of another session or of a later one does not fit.
  signed := convert_to(pg_backend_pid()::text || '.'
    || (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint::text || '.' || told, 'UTF8');
  SELECT encode(sha256(k.outer_pad || sha256(k.inner_pad || signed)), 'hex') INTO STRICT expected
    FROM sandbox.claims_key AS k;
  IF token IS NULL OR token IS DISTINCT FROM told || '.' || expected THEN
    RAISE insufficient_privilege USING MESSAGE = 'sandbox: no claims were told to this transaction by the service';
  END IF;
  RETURN convert_from(decode(told, 'base64'), 'UTF8')::json ->> $1;
END
"""

_SPACES: Final = "".join(f"\\u{n:04x}" for n in range(sys.maxunicode + 1) if chr(n).isspace())
"""What Python's `str.split` takes for white space, which the masks on SQLite go by; written out for a regular
expression, whose own `\\s` depends on the database's locale."""


@final
@dataclass(frozen=True, slots=True)
class Function:
    """One function in the schema `sandbox`."""

    name: str
    arguments: str
    """As `pg_get_function_identity_arguments` has them."""
    returns: str
    language: Literal["sql", "plpgsql"]
    volatility: Literal["IMMUTABLE", "STABLE"]
    parallel: Literal["SAFE", "RESTRICTED"]
    is_definer: bool
    settings: tuple[tuple[str, str], ...]
    body: str
    purpose: str

    @property
    def signature(self) -> str:
        """The function as `regprocedure` names it."""
        return f"sandbox.{self.name}({','.join(part.rpartition(' ')[2] for part in (self.arguments,) if part)})"

    def create(self) -> str:
        """Return the statement that makes it, or makes it what it should be."""
        security = "SECURITY DEFINER" if self.is_definer else "SECURITY INVOKER"
        settings = "".join(f"\n  SET {name} = {quoted_text(value)}" for name, value in self.settings)
        return (
            f"CREATE OR REPLACE FUNCTION sandbox.{self.name}({self.arguments}) RETURNS {self.returns}\n"
            f"  LANGUAGE {self.language} {self.volatility} PARALLEL {self.parallel} {security}{settings}\n"
            f"  AS $sandbox${self.body}$sandbox$;"
        )


def _mask(name: str, body: str) -> Function:
    purpose = f"What the mask `{name}` shows of a text."
    return Function(f"mask_{name}", "text", "text", "sql", "IMMUTABLE", "SAFE", False, (), f" SELECT {body} ", purpose)


CLAIM: Final = Function(
    "claim", "name text", "text", "plpgsql", "STABLE", "RESTRICTED", True, (_PINNED,), _CLAIM,
    "One claim of the caller, or null if they have none of that name; an error unless the service signed it.",
)  # fmt: skip
KEY_BYTES: Final = Function(
    "claims_key_bytes", "", "bytea", "sql", "STABLE", "RESTRICTED", True, (_PINNED,),
    " SELECT key FROM sandbox.claims_key ", "The key that claims are signed with, for the service's own login.",
)  # fmt: skip
AS_TEXT: Final = Function(
    "as_text", "anyelement", "text", "sql", "STABLE", "SAFE", False,
    (
        _PINNED, ("DateStyle", "ISO, YMD"), ("TimeZone", "UTC"), ("IntervalStyle", "postgres"),
        ("bytea_output", "hex"), ("extra_float_digits", "1"),
    ),
    " SELECT $1::text ", "A value as text, however a session would write it, for masks.",
)  # fmt: skip

_C: Final = '$1 COLLATE pg_catalog."C"'
_LENGTH: Final = "pg_catalog.length($1)"
_WORDS: Final = f"pg_catalog.regexp_replace({_C}, '([^{_SPACES}])[^{_SPACES}]*', '\\1.', 'g')"

MASKS: Final = (
    _mask("initials", f"pg_catalog.regexp_replace({_WORDS}, '[{_SPACES}]', '', 'g')"),
    _mask(
        "last4",
        f"CASE WHEN {_LENGTH} OPERATOR(pg_catalog.<=) 4 THEN pg_catalog.repeat('*', {_LENGTH}) "
        f"ELSE pg_catalog.lpad(pg_catalog.right($1, 4), {_LENGTH}, '*') END",
    ),
    _mask("year", f"pg_catalog.substring({_C}, '^[0-9]{{4}}(?=-|$)')"),
    _mask("domain", f"pg_catalog.substring({_C}, '@([^@]*)$')"),
)

FOR_TOOLS: Final = (CLAIM, AS_TEXT, *MASKS)
"""What tool logins may execute: a view calls its functions with its reader's rights."""
FUNCTIONS: Final = (KEY_BYTES, *FOR_TOOLS)
