"""Can an HTTP connection's secret be read, or a token be lent? Tells neither, and sends the target nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.inspection import Finding
from sandbox.leases import CallBounds, Leases, Subject, read_assertions
from sandbox.reasons import Refused, quoted
from sandbox.settings import read_settings
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, HttpTarget, OAuth

SECRET: Final = "its secret can be read"  # noqa: S105 - a check's name
TOKEN: Final = "a token can be had for all its scopes"  # noqa: S105 - the same
DOCTOR: Final = "sandbox-doctor"
"""For whom a token is asked where it must be for somebody."""
SECONDS: Final = 10.0


def credential_check(target: HttpTarget) -> str:
    """Return what is looked at."""
    return TOKEN if isinstance(target.auth, OAuth) else SECRET


def check_credential(deployment: Deployment, connection: Connection, target: HttpTarget) -> Iterator[Finding]:
    """Take the connection's lease once, as a call does; a token is asked for all of its scopes."""
    name, auth, check = connection.name, target.auth, credential_check(target)
    mend = f"set what `auth` of [{name}] in connections.toml names"
    scopes = tuple(sorted(auth.scopes)) if isinstance(auth, OAuth) else ()
    try:
        issuer = read_settings(deployment.settings)[0].identity.issuer
        assertions = read_assertions({name: connection}, deployment.assertion_key, issuer)
        leases = Leases({name: connection}, deployment.lease_key, assertions)
        with leases.lend_http(name, scopes, Subject(DOCTOR, ()), CallBounds.of_call(SECONDS, Cancellation())):
            pass
    except Misconfigured as error:
        yield Finding(check, str(error), mend)
    except Refused as refused:
        yield Finding(check, refused.message, _token_mend(auth) if isinstance(auth, OAuth) else mend)


def _token_mend(auth: OAuth) -> str:
    """Say what an authorization server must know, so that it lends what is asked for."""
    exchange = f" by token exchange, also for the subject `{DOCTOR}`" if auth.grant == "token_exchange" else ""
    scopes = " ".join(sorted(auth.scopes))
    return f"let client {quoted(auth.client_id)} have the scopes {scopes}{exchange}; stderr names what it answered"
