"""How is a deployment kept safe? By a copy that is itself a deployment, taken while the service runs, and proven.

What connections lead to is not in it: databases have backups of their own.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.founding import made_whole
from sandbox.receipts import proven_size
from sandbox.settings import read_settings
from sandbox.stores.log import StoreUnavailable
from sandbox.stores.sqlite_log import copy_log

FOLDERS: Final = ("toolspecs", "policies", "schema", "pki", "keys", "tokens", "secrets")
FILES: Final = ("sandbox.toml", "connections.toml")


@final
@dataclass(frozen=True, slots=True)
class BackedUp:
    """A copy that was made, and proven to be the log that was signed."""

    deployment: Deployment
    records: int
    """Leaves of the copied log."""
    size_bytes: int
    """Of the whole copy."""


def back_up(root: Path, place: Path) -> BackedUp:
    """Copy the deployment in `root` to the new or empty folder `place`, or raise `Misconfigured` and leave nothing.

    The service may run: calls whose records are not in the copy were made after it was begun.
    """
    source = Deployment(root.resolve())
    settings, _ = read_settings(source.settings)
    if not source.log_database.exists():
        raise Misconfigured(f"{source.log_database}: there is no log yet; `sandbox serve` begins it")
    with made_whole(place) as building:
        copy = Deployment(building)
        _copy_files(source, copy)
        try:
            copy_log(source.log_database, copy.log_database)
        except StoreUnavailable as error:
            raise Misconfigured(f"{source.log_database}: the log cannot be copied ({error})") from error
        records = proven_size(copy, settings.log.origin)
        size_bytes = sum(path.stat().st_size for path in building.rglob("*") if path.is_file())
    return BackedUp(Deployment(place.resolve()), records, size_bytes)


def _copy_files(source: Deployment, copy: Deployment) -> None:
    """Copy everything but the log. The checkpoint comes before it, for a log must have grown from its checkpoint."""
    try:
        for name in FILES:
            shutil.copy2(source.root / name, copy.root / name)
        for name in FOLDERS:
            if (source.root / name).is_dir():
                shutil.copytree(source.root / name, copy.root / name)
        copy.state.mkdir(0o700)
        for path in (source.checkpoint, source.revocations):
            if path.exists():
                shutil.copy2(path, copy.state / path.name)
    except (OSError, shutil.Error) as error:
        raise Misconfigured(f"{source.root}: cannot be copied ({error})") from error
