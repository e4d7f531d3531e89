"""Are a deployment's files replaced whole?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sandbox import deployment
from sandbox.deployment import replace_file


@pytest.mark.requirement("identity:files:whole")
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(b"old")
    inode = path.stat().st_ino

    def broken(_: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(deployment.os, "fsync", broken)
        with pytest.raises(OSError, match="disk full"):
            replace_file(path, b"new", 0o644)
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["server.pem"])  # noqa: PTH208 - names are the point

    replace_file(path, b"new", 0o644)
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != inode
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.requirement("identity:files:whole")
def test_content_and_place_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "address"
    synced: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        deployment.os, "fsync", lambda file: synced.append((stat.S_ISDIR(os.fstat(file).st_mode), path.exists()))
    )

    replace_file(path, b"new", 0o600)

    assert synced == [(False, False), (True, True)], "the file before it takes the place, the folder after"
