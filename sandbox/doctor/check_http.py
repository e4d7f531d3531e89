"""Can an HTTP connection's hosts be reached, its secret be read, or a token be lent? The target is sent no request.

# INVARIANT: no secret and no token is told, and nothing in a server's own words.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Iterator, Sequence
from ssl import SSLCertVerificationError
from types import MappingProxyType
from typing import Final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.findings import Finding
from sandbox.leases import CallBounds, Leases, NoToken, Subject, read_assertions
from sandbox.outbound.addresses import complaint
from sandbox.outbound.destinations import destination
from sandbox.outbound.resolver import ask_aside
from sandbox.outbound.wire import Failed, reach, system_resolve
from sandbox.reasons import Refused, quoted
from sandbox.settings import read_settings
from sandbox.stages import Cancellation
from sandbox.toolspec import Connection, HttpTarget, OAuth

SECRET: Final = "its secret can be read"  # noqa: S105 - a check's name
TOKEN: Final = "a token can be had for all its scopes"  # noqa: S105 - the same
ADDRESSES: Final = "its hosts' addresses may be reached"
CONNECTS: Final = "its host can be connected to"
DOCTOR: Final = "sandbox-doctor"
"""For whom a token is asked where it must be for somebody."""
SECONDS: Final = 10.0

_NOT_REACHED: Final = MappingProxyType(
    {
        "resolve": "has no address",
        "address": "has an address that no request may reach",
        "connect": "has an address, and nobody takes a connection there",
        "tls": "takes a connection, and TLS fails",
        "cut": "hangs up",
        "timed_out": f"gives no answer within {SECONDS:g} s",
    }
)
"""What went wrong on the way to a host, by the word of `wire.Trouble`."""
_ANSWERED: Final = MappingProxyType(
    {
        "invalid_client": ("it does not take the client", "check `client_id`, its secret and `client_auth`"),
        "unauthorized_client": ("the client may not have this grant", ""),
        "unsupported_grant_type": ("it does not know this grant", "check `grant` and `token_url`"),
        "invalid_scope": ("it does not let the client have all of `scopes`", ""),
        "invalid_target": ("it does not know `audience` or `resource`", "check both"),
        "client secret": ("the client's secret cannot be read", "see to what `client_secret` names"),
        "issued_token_type": (
            "its answer does not say that the token is an access token",
            "have it send `issued_token_type` (RFC 8693, section 2.2.1)",
        ),
        "wider scope": ("it lends more than was asked for", "have it lend the scopes that are asked for and no more"),
        "expires_in": ("it does not say that its token ends within a day", "have it lend tokens of a day at most"),
    }
)
"""What an authorization server's word means, and what mends it; nothing where the server must let the client more."""


def credential_check(target: HttpTarget) -> str:
    """Return what is looked at."""
    return TOKEN if isinstance(target.auth, OAuth) else SECRET


def check_hosts(connection: Connection, target: HttpTarget) -> Iterator[Finding]:
    """Find hosts with an address that no request may reach, and a target that cannot be connected to."""
    found = list(_forbidden(connection.name, target.host, target.port, target.networks))
    if isinstance(target.auth, OAuth):
        auth = target.auth
        yield from _forbidden(f"{connection.name}.auth.oauth", auth.host, auth.port, auth.networks)
    yield from found or _unreachable(connection, target)


def _forbidden(table: str, host: str, port: int, networks: Sequence[str]) -> Iterator[Finding]:
    known = [ipaddress.ip_network(text) for text in networks]
    for text in dict.fromkeys(_addresses(host, port)):
        if why := complaint(ipaddress.ip_address(text), known):
            mend = f"`networks` of [{table}] in connections.toml"
            yield Finding(ADDRESSES, f"{host} leads to {text}, which {why}", mend)


def _addresses(host: str, port: int) -> Sequence[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return ask_aside(lambda: system_resolve(host, port), threading.Event(), SECONDS)


def _unreachable(connection: Connection, target: HttpTarget) -> Iterator[Finding]:
    try:
        to = destination(
            host=target.host,
            port=target.port,
            is_secure=target.scheme == "https",
            ca=target.ca,
            networks=target.networks,
            resolve=system_resolve,
            whose=f"connections.toml: [{connection.name}]",
        )
        reach(to, time.monotonic() + SECONDS)
    except Misconfigured as error:
        yield Finding(CONNECTS, str(error), f"`ca` of [{connection.name}] in connections.toml")
    except Failed as failed:
        mend = (
            f"check `base_url`{' and `ca`' if failed.trouble == 'tls' else ''} of [{connection.name}], and the target"
        )
        yield Finding(CONNECTS, f"{target.authority} {_NOT_REACHED[failed.trouble]}{_of_certificate(failed)}", mend)


def _of_certificate(failed: Failed) -> str:
    """Return what our own TLS says of a certificate; empty where that is not what is wrong."""
    cause = failed.__cause__
    return f": {cause.verify_message.rstrip('.')}" if isinstance(cause, SSLCertVerificationError) else ""


def check_credential(deployment: Deployment, connection: Connection, target: HttpTarget) -> Iterator[Finding]:
    """Take the connection's lease once, as a call does; a token is asked for all of its scopes."""
    name, auth, check = connection.name, target.auth, credential_check(target)
    mend = f"see to what `auth` of [{name}] in connections.toml names"
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
        cause = refused.__cause__
        if isinstance(auth, OAuth) and isinstance(cause, NoToken):
            yield _no_token(auth, str(cause), cause.__cause__)
        else:
            yield Finding(check, str(cause or refused), mend)


def _no_token(auth: OAuth, word: str, why: BaseException | None) -> Finding:
    """Say what kept a token from being lent, why if it is known, and who changes what."""
    mend = _allowed(auth)
    if word in _NOT_REACHED:
        said, mend = f"its host {_NOT_REACHED[word]}", "check `token_url`, `networks` and `ca` of `oauth`"
    elif word in _ANSWERED:
        said, mend = _ANSWERED[word][0], _ANSWERED[word][1] or mend
        said += f": {why}" if isinstance(why, Refused) else ""
    else:
        said = f"it answered {quoted(word)}"
    return Finding(TOKEN, f"the authorization server {auth.host} lends no usable token: {said}", mend)


def _allowed(auth: OAuth) -> str:
    """Say what an authorization server must know, so that it lends what is asked for."""
    scopes = " ".join(sorted(auth.scopes))
    mend = f"let client {quoted(auth.client_id)} have the scopes {scopes}"
    if auth.grant == "token_exchange":
        mend += f" by token exchange, also for the subject `{DOCTOR}`, with the public half of keys/assertion.key"
    return mend
