"""`sandbox token …`: mint, read and revoke the tokens of the built-in issuer."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.common import DeploymentOption, ExitCode, JsonOption, claims_of, emit, stop, warn
from sandbox.cli.moments import told_time
from sandbox.deployment import Misconfigured
from sandbox.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from sandbox.deployment import Deployment
    from sandbox.identity.enrolment import Scope
    from sandbox.identity.inspection import Inspected
    from sandbox.settings import Settings

app = typer.Typer(help="Mint, read and revoke tokens.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The identity: the token's subject, its files' name.")
]


@app.command("new")
def new(
    name: NameArgument,
    role: Annotated[list[str] | None, typer.Option(help="A role that policies know; may be given again.")] = None,
    tools: Annotated[
        list[str] | None, typer.Option(help="A tool or a pattern such as `shop.*`; may be given again. Else all.")
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(metavar="K=V", help="For row filters and policies; V is JSON if it parses.")
    ] = None,
    actor: Annotated[
        list[str] | None, typer.Option(help="Who acts for the identity, the nearest first; may be given again.")
    ] = None,
    hours: Annotated[int | None, typer.Option(min=1, max=8760, help="Its life; else `identity.token_hours`.")] = None,
    bearer: Annotated[
        bool, typer.Option("--bearer", help="Bound to no certificate: for the HTTP door, where it takes such tokens.")
    ] = False,
    minutes: Annotated[
        int | None, typer.Option(min=1, max=1440, help="Life of a bearer token; else `http.bearer_minutes`.")
    ] = None,
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Mint a token, and a client certificate if the identity has none.

    Without --role, --tools, --claim and --actor the identity's token is renewed: the new one says what the one before
    said. With any of them it says exactly what they say.

    A bearer token (--bearer) lies beside it and is shown and revoked as NAME.bearer; the first one says what the
    identity's token says.
    """
    from sandbox.identity.enrolment import BEARER, check_name

    check_name(name)
    opened, settings = _open(deployment)
    life_s = _life_s(settings, hours, minutes, is_bearer=bearer)
    resource = _resource(settings) if bearer else ""
    file = name + BEARER if bearer else name
    replaced = _before(opened, settings, file)
    before = replaced or _before(opened, settings, name)
    is_said = bool(role or tools or claim or actor)
    scope = before.scope if before is not None and not is_said else _scope(role, tools, claim, actor)
    unknown, named = _unspoken(opened, scope.roles, is_json=json)
    unmatched = _unmatched(opened, tools or (), is_json=json)
    is_enrolled = _write(opened, settings, name, scope, life_s, resource)
    facts, minted = _minted(opened, settings, file)
    facts |= {
        "made_certificate": is_enrolled,
        "replaced": replaced.token_id if replaced is not None and replaced.state == "valid" else None,
        "unknown_roles": unknown,
        "unmatched_tools": unmatched,
    }
    emit(facts) if json else _print_minted(facts, minted, named)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="An identity, or a file that holds a token.")],
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Print what a token says and whether it would be accepted now; exit code 1 if not. Never prints the token."""
    opened, settings = _open(deployment)
    shown = _inspect(opened, settings, _token(opened, name))
    emit(_facts(shown)) if json else _print_shown(shown, _unspoken(opened, (), is_json=json)[1])
    if shown.state != "valid":
        stop(ExitCode.REFUSED)


@app.command("revoke")
def revoke(
    name: Annotated[
        str, typer.Argument(metavar="NAME|ID", help="An identity, whose newest token is meant, or a token's id.")
    ],
    deployment: DeploymentOption = Path(),
    json: JsonOption = False,
) -> None:
    """Revoke a token. A running service needs no restart."""
    from sandbox.identity.inspection import token_id_of
    from sandbox.identity.revocations import Revocations

    opened, settings = _open(deployment)
    token_id = token_id_of(opened, name)
    revocations = Revocations(opened.revocations)
    was_revoked = revocations.is_revoked(token_id)
    if not was_revoked:
        revocations.revoke(token_id)
    within_s = settings.identity.cache_seconds
    if json:
        emit({"id": token_id, "was_revoked": was_revoked, "effective_within_s": within_s})
        return
    what = "was revoked before" if was_revoked else f"will be refused within {within_s:g} s"
    sys.stdout.write(f"token {token_id} {what}\n")


def _life_s(settings: Settings, hours: int | None, minutes: int | None, *, is_bearer: bool) -> int:
    """Return for how long the token will hold; raises `Misconfigured` for a life that such a token cannot have."""
    if not is_bearer:
        if minutes is not None:
            raise Misconfigured("--minutes is for a bearer token; add --bearer, or give --hours")
        return (hours or settings.identity.token_hours) * 3600
    longest = settings.http.bearer_minutes
    if hours is not None:
        raise Misconfigured("--hours is for a token that is bound to a certificate; give --minutes")
    if minutes is not None and minutes > longest:
        raise Misconfigured(f"--minutes {minutes}: at most {longest} are accepted, which `http.bearer_minutes` sets")
    return (minutes or longest) * 60


def _resource(settings: Settings) -> str:
    """Return what a bearer token is for; raises `Misconfigured` where the service takes none."""
    from sandbox.doors.http.metadata import bearer_rule

    rule = bearer_rule(settings.http)
    if rule is None:
        message = "the HTTP door of this deployment takes no bearer tokens; `http.bearer_tokens = true` turns them on"
        raise Misconfigured(message)
    return rule.resource


def _write(deployment: Deployment, settings: Settings, name: str, scope: Scope, life_s: int, resource: str) -> bool:
    """Mint and write the token, a bearer token for `resource` if given; returns whether a certificate was made."""
    from sandbox.identity.enrolment import ensure_certificate, write_bearer_token, write_token

    if resource:
        write_bearer_token(deployment, settings.identity, name, scope, resource=resource, lifetime_s=life_s)
        return False
    _, is_enrolled = ensure_certificate(deployment, name)
    write_token(deployment, settings.identity, name, scope, lifetime_s=life_s)
    return is_enrolled


def _minted(deployment: Deployment, settings: Settings, file: str) -> tuple[dict[str, JsonValue], Inspected]:
    """Return the facts of the token in the file `file`, and what the service would make of it."""
    from sandbox.identity.enrolment import token_path

    path = token_path(deployment, file)
    minted = _inspect(deployment, settings, path.read_text("ascii").strip())
    return {**_facts(minted), "token": str(path)}, minted


def _open(root: Path) -> tuple[Deployment, Settings]:
    from sandbox.deployment import Deployment
    from sandbox.settings import read_settings

    deployment = Deployment(root.resolve())
    settings, _ = read_settings(deployment.settings)
    return deployment, settings


def _inspect(deployment: Deployment, settings: Settings, token: str) -> Inspected:
    from sandbox.doors.http.metadata import bearer_rule
    from sandbox.identity.inspection import inspect

    return inspect(deployment, settings.identity, token, bearer=bearer_rule(settings.http))


def _token(deployment: Deployment, name: str) -> str:
    from sandbox.identity.enrolment import read_token, token_path
    from sandbox.identity.inspection import read_token_file

    is_file = not token_path(deployment, name).exists() and Path(name).is_file()
    return read_token_file(Path(name)) if is_file else read_token(deployment, name)


def _before(deployment: Deployment, settings: Settings, name: str) -> Inspected | None:
    """Read the identity's token, if there is one that our key signed."""
    from sandbox.identity.enrolment import read_token, token_path
    from sandbox.reasons import Refused

    if not token_path(deployment, name).exists():
        return None
    try:
        return _inspect(deployment, settings, read_token(deployment, name))
    except Refused:
        return None


def _scope(role: list[str] | None, tools: list[str] | None, claim: list[str] | None, actor: list[str] | None) -> Scope:
    from sandbox.identity.enrolment import Scope

    return Scope(
        roles=tuple(dict.fromkeys(role or ())),
        tools=tuple(dict.fromkeys(tools or ("*",))),
        claims=claims_of(claim),
        actors=tuple(actor or ()),
    )


def _unspoken(deployment: Deployment, roles: Sequence[str], *, is_json: bool) -> tuple[list[str], list[str]]:
    """Return roles that no policy speaks of, and those that policies name.

    People are warned of the former: they may be misspelt, and permit nothing now.
    """
    from sandbox.policy import unspoken_roles
    from sandbox.problems import did_you_mean
    from sandbox.reasons import quoted

    unknown, named = unspoken_roles(deployment.policies, roles)
    for role in () if is_json else unknown:
        known = ", ".join(quoted(name) for name in named) or "none"
        hint = did_you_mean(role, named) or f"; policies name {known}"
        warn(f"no policy speaks of the role {quoted(role)}{hint}")
    return unknown, named


def _unmatched(deployment: Deployment, patterns: Sequence[str], *, is_json: bool) -> list[str]:
    """Return patterns that no tool's name fits, and warn people of them; nothing where specs cannot be told."""
    from fnmatch import fnmatchcase

    from sandbox.executors import read_catalogue
    from sandbox.problems import did_you_mean
    from sandbox.reasons import quoted
    from sandbox.settings import read_settings
    from sandbox.specs import lint_connections, lint_specs

    try:
        settings, _ = read_settings(deployment.settings)
        connections = lint_connections(deployment, settings)
        found = lint_specs(deployment, connections, read_catalogue, settings) if patterns else None
    except Misconfigured:
        return []
    if found is None or found.problems:
        return []
    names = list(found.specs.tools)
    unmatched = [each for each in patterns if not any(fnmatchcase(name, each) for name in names)]
    for pattern in () if is_json else unmatched:
        hint = did_you_mean(pattern, names) or f"; there are {', '.join(map(quoted, names[:20])) or 'none'}"
        warn(f"no tool has a name that fits {quoted(pattern)}{hint}")
    return unmatched


def _facts(shown: Inspected) -> dict[str, JsonValue]:
    return {
        "id": shown.token_id,
        "subject": shown.subject,
        "actors": shown.scope.actors,
        "roles": shown.scope.roles,
        "tools": shown.scope.tools,
        "claims": shown.scope.claims,
        "issued_at": shown.issued_at,
        "expires_at": shown.expires_at,
        "certificate": shown.certificate,
        "resource": shown.resource,
        "state": shown.state,
        "reason": shown.why,
    }


def _without_role(shown: Inspected, named: Sequence[str]) -> str:
    """Return what is said of a token without a role, and how its owner gets one and keeps what it says else."""
    from json import dumps
    from shlex import quote

    from sandbox.reasons import quoted

    if not named:
        return "none, and policies name none"
    spoken = ", ".join(quoted(each) for each in named)
    scope = shown.scope
    kept = [("--tools", each) for each in scope.tools if each != "*"]
    kept += [("--claim", f"{key}={dumps(value, ensure_ascii=False)}") for key, value in scope.claims.items()]
    kept += [("--actor", each) for each in scope.actors]
    kind = " --bearer" if shown.resource else ""
    options = kind + "".join(f" {option} {quote(value)}" for option, value in kept)
    command = f"sandbox token new {shown.subject} --role {named[0]}{options}"
    return f"none; policies speak of the roles {spoken}: `{command}`"


def _bound_to(shown: Inspected) -> str:
    if shown.resource:
        return f"nothing: whoever holds it may use it, at {shown.resource}"
    return shown.certificate or "a certificate that is not in pki/clients"


def _print_shown(shown: Inspected, named: Sequence[str]) -> None:
    from json import dumps

    now = time.time()
    lines = {
        "subject": shown.subject,
        "acting": " for ".join(shown.scope.actors),
        "roles": ", ".join(shown.scope.roles) or _without_role(shown, named),
        "tools": ", ".join(shown.scope.tools),
        "claims": dumps(shown.scope.claims, ensure_ascii=False) if shown.scope.claims else "",
        "issued": told_time(shown.issued_at, now),
        "ends": told_time(shown.expires_at, now),
        "bound to": _bound_to(shown),
        "id": shown.token_id,
        "state": f"{shown.state}: {shown.why}" if shown.why else shown.state,
    }
    sys.stdout.write("".join(f"{name:<9} {text}\n" for name, text in lines.items() if text))


def _print_minted(facts: JsonObject, minted: Inspected, named: Sequence[str]) -> None:
    _print_shown(minted, named)
    sys.stdout.write(f"\nwrote {facts['token']}\n")
    if facts["made_certificate"]:
        sys.stdout.write(f"made its client certificate, {minted.certificate}\n")
    if facts["replaced"] is not None:
        replaced = f"the token before is good until it ends; `sandbox token revoke {facts['replaced']}` ends it now"
        sys.stdout.write(f"{replaced}\n")
