"""Is a file's lease what it says, and no more?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from executor_cast import EU, Shop, connection_to, make_database, tool

from sandbox.leases import FileLease, Leases
from sandbox.reasons import Fault
from sandbox.stages import AuthorizedCall, Permit
from sandbox.toolspec import Digest


@pytest.fixture
def authorized(tmp_path: Path) -> AuthorizedCall:
    shop = Shop(make_database(tmp_path / "shop.db"), (tool(tables=EU),))
    planned = shop.plan({"sql": "SELECT 1"})
    shop.executors.close()
    return AuthorizedCall(planned=planned, permit=Permit(policy_digest=Digest("p"), rule_ids=()))


def lease_of(path: Path, authorized: AuthorizedCall, digest: str = "d") -> FileLease:
    connection = replace(connection_to(path), digest=Digest(digest))
    with Leases({"shop": connection}, path / "no key").take(authorized) as lease:
        return lease


@pytest.mark.requirement("leases:file:standing")
def test_a_lease_names_itself_standing_and_read_only(tmp_path: Path, authorized: AuthorizedCall) -> None:
    lease = lease_of(tmp_path / "shop.db", authorized)

    assert (lease.scope, lease.expires_at, lease.path) == ("read-only", None, str(tmp_path / "shop.db"))


@pytest.mark.requirement("leases:file:standing")
def test_its_digest_changes_with_the_connection(tmp_path: Path, authorized: AuthorizedCall) -> None:
    one, same, other = (lease_of(tmp_path / "shop.db", authorized, digest) for digest in ("a", "a", "b"))

    assert len(one.digest) == 32
    assert one.digest == same.digest != other.digest


def test_a_plan_for_no_connection_is_a_fault(authorized: AuthorizedCall) -> None:
    with pytest.raises(Fault):
        Leases({}, Path("no key")).take(authorized)
