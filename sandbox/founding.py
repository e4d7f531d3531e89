"""How does a deployment begin? A whole folder, made beside its place and moved there, or nothing."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.identity.enrolment import Scope, check_trust_domain, found_identity, write_token
from sandbox.leases import create_lease_key
from sandbox.policy import STARTER_POLICY
from sandbox.receipts.keys import create_keys
from sandbox.settings import IdentitySettings, read_settings
from sandbox.specs import editor_schema
from sandbox.stores.example_shop import build_shop_database
from sandbox.values import JsonObject

DEFAULT_NAME: Final = "sandbox.example"
EXAMPLE_CLAIMS: Final[JsonObject] = {"region": "EU"}
"""What the example's row filter asks for."""

_PRIVATE_FOLDER: Final = 0o700
_STARTER: Final = files("sandbox.data") / "starter"


def create_deployment(
    root: Path,
    *,
    name: str = DEFAULT_NAME,
    hosts: Sequence[str] = (),
    with_example: bool = True,
    agent_claims: JsonObject | None = None,
) -> Deployment:
    """Make the deployment folder `root`, with the identities `agent` and `reviewer`.

    `name` heads the log's origin and the SPIFFE ids. Without the example there is no connection and no tool, and the
    agent's token has no claims but `agent_claims`. Raises `Misconfigured` and leaves nothing behind.
    """
    check_trust_domain(name)
    claims = agent_claims if agent_claims is not None else EXAMPLE_CLAIMS if with_example else {}
    with made_whole(root) as building:
        _fill(Deployment(building), name, hosts, claims, with_example=with_example)
    return Deployment(root.resolve())


@contextmanager
def made_whole(root: Path) -> Iterator[Path]:
    """Make the folder `root` from what the block fills, or leave nothing behind; raises `Misconfigured`."""
    place = root.resolve()
    _check_place(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    # WHY: beside its place, so that one rename puts it there; 0700, for it holds keys from the first moment on.
    building = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.making-"))
    try:
        yield building
        _move(building, place)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _check_place(place: Path) -> None:
    if place.exists() and not (place.is_dir() and next(place.iterdir(), None) is None):
        raise Misconfigured(f"{place}: exists already; a new or an empty folder is accepted")
    if place == Path.cwd():
        message = "the current folder cannot be replaced; run this from the folder above"
        raise Misconfigured(f"{place}: {message}")


def _move(building: Path, place: Path) -> None:
    try:
        building.rename(place)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise Misconfigured(f"{place}: exists already; a new or an empty folder is accepted") from error
        raise Misconfigured(f"{place}: cannot be put in place ({error.strerror}); name a folder within it") from error


def _fill(deployment: Deployment, name: str, hosts: Sequence[str], claims: JsonObject, *, with_example: bool) -> None:
    for folder in (deployment.toolspecs, deployment.policies, deployment.schemas, deployment.root / "data"):
        folder.mkdir()
    for folder in (deployment.pki, deployment.pki / "clients", deployment.keys, deployment.tokens, deployment.state):
        folder.mkdir(_PRIVATE_FOLDER)
    origin = f"{name}/log"
    _write(deployment.settings, _starter("sandbox.toml").replace("@ORIGIN@", origin))
    _write(deployment.policies / "starter.cedar", STARTER_POLICY)
    _write(deployment.schemas / "tool.v1.json", json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n")
    _write(deployment.connections, _starter("connections.toml"))
    if with_example:
        _add_example(deployment)
    found_identity(deployment, name, hosts)
    create_keys(deployment, origin)
    create_lease_key(deployment.lease_key)
    settings, _ = read_settings(deployment.settings)
    for identity, scope in _scopes(claims).items():
        _enroll(deployment, settings.identity, identity, scope)


def _add_example(deployment: Deployment) -> None:
    with deployment.connections.open("a", encoding="utf-8") as connections:
        connections.write(_starter("connections.shop.toml"))
    for spec in (_STARTER / "toolspecs").iterdir():
        _write(deployment.toolspecs / spec.name, spec.read_text("utf-8"))
    build_shop_database(deployment.root / "data" / "shop.db")


def _scopes(agent_claims: JsonObject) -> Mapping[str, Scope]:
    return {
        "agent": Scope(roles=("agent",), tools=("*",), claims=agent_claims, actors=()),
        "reviewer": Scope(roles=("reviewer",), tools=("*",), claims={}, actors=()),
    }


def _enroll(deployment: Deployment, settings: IdentitySettings, name: str, scope: Scope) -> None:
    write_token(deployment, settings, name, scope, lifetime_s=settings.token_hours * 3600)


def _starter(name: str) -> str:
    return (_STARTER / name).read_text("utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
