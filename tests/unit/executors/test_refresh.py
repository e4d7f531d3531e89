"""What does a caller hear, and how long does it wait, while tables are looked at anew?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_cast import Shop, tool
from postgres_cast import RULES, PostgresShop, made
from postgres_server import Server

from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation

CUSTOMERS = {"sql": "SELECT id FROM public.customers"}
COMPLAINTS = {"open to others": "mode 0644", "gone": "shop.dsn"}


@pytest.fixture
def database(postgres: Server, tmp_path: Path) -> PostgresShop:
    return made(postgres, tmp_path / "secret-place", "refreshed")


@pytest.fixture
def shop(database: PostgresShop) -> Iterator[Shop]:
    """A tool whose catalogue is out of date: the table of customers is gone."""
    lease_key = database.folder / "lease.key"
    shop = Shop(Path(), (tool(tables=RULES),), connection=database.connection, lease_key=lease_key)
    with database.server.connect("refreshed") as owner:
        owner.execute("DROP TABLE public.customers CASCADE")
    yield shop
    shop.executors.close()
    database.executor.close()


def refusal_of(shop: Shop) -> Refused:
    with pytest.raises(Refused) as caught:
        shop.call(CUSTOMERS)
    return caught.value


@pytest.mark.requirement("postgres:catalogue:private")
@pytest.mark.parametrize("fault", COMPLAINTS)
def test_a_caller_never_hears_where_a_dsn_lies(
    shop: Shop, database: PostgresShop, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways to look anew: a plan was not taken, and a tool waits for its tables."""
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    dsn, kept = database.folder / "shop.dsn", database.folder / "kept"

    def spoil() -> None:
        if fault == "gone":
            dsn.rename(kept)
        else:
            dsn.chmod(0o644)

    spoil()
    heard = [refusal_of(shop)]
    kept.rename(dsn) if fault == "gone" else dsn.chmod(0o600)
    assert "tables changed" in refusal_of(shop).message
    spoil()
    heard.append(refusal_of(shop))

    for refused in heard:
        assert refused.reason is Reason.EXECUTOR_UNAVAILABLE
        assert "connection `shop` cannot be" in refused.message
        assert "secret-place" not in refused.message
        assert refused.retry_after_s > 0
    assert COMPLAINTS[fault] in capsys.readouterr().err


@pytest.mark.requirement("postgres:catalogue:patience")
@pytest.mark.parametrize("is_planning", [True, False])
def test_a_call_queues_behind_another_s_look_no_longer_than_its_own_time(shop: Shop, *, is_planning: bool) -> None:
    planned = shop.plan(CUSTOMERS)
    if is_planning:
        refusal_of(shop)  # from here on the tool waits for its tables, and planning looks for them
    looking = shop.executors._refreshing
    looking.acquire()
    never_hanging = threading.Timer(5.0, looking.release)
    never_hanging.start()
    begun = time.monotonic()
    with pytest.raises(Refused) as caught:
        shop.plan(CUSTOMERS, cancellation=Cancellation(begun + 0.1)) if is_planning else shop.execute(planned)
    took = time.monotonic() - begun
    never_hanging.cancel()

    assert (caught.value.reason, caught.value.retry_after_s > 0) == (Reason.EXECUTOR_UNAVAILABLE, True)
    assert took < (0.9 if is_planning else 3.0)
