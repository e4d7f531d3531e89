"""On what is a governed call measured? The example shop, a PostgreSQL database made for it, or an HTTP service."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, LiteralString, final
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier, Literal

from sandbox.bench.deployment import BENCH_TOOL
from sandbox.bench.process import child, first_line
from sandbox.deployment import Deployment, Misconfigured, write_private
from sandbox.doctor.diagnosis import setup_sql, undo_sql
from sandbox.executors.bare import DriverSeen, measure_driver, measure_http_client, measure_postgres_driver

POSTGRES_TOOL: Final = "bench.postgres_order"
HTTP_TOOL: Final = "bench.http_order"
_PATH: Final = "/v1/orders/"
_WHERE: Final = frozenset({"host", "hostaddr", "port", "sslmode", "sslrootcert"})
"""Of the administrator's dsn, what the tools' own takes over."""

_POSTGRES_SPEC: Final = """\
spec: tool/v1
name: bench.postgres_order
version: 1.0.0
owner: bench@example.com
summary: One order of a PostgreSQL database by its id.
use_when: A benchmark runs.
kind: sql
effects: read
connection: CONNECTION
input:
  id: {type: integer, help: The order's id}
statement: SELECT id, customer_id, region, cents, placed_on FROM orders WHERE id = :id
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - call: {id: 7}
    expect: {row_count: 1}
"""
_HTTP_SPEC: Final = """\
spec: tool/v1
name: bench.http_order
version: 1.0.0
owner: bench@example.com
summary: One order of an HTTP service by its id.
use_when: A benchmark runs.
kind: http
effects: read
connection: bench
input:
  id: {type: integer, help: The order's id}
request: {method: GET, path: "/v1/orders/{id}"}
response:
  columns:
    id: {at: /id, type: integer}
    customer_id: {at: /customer_id, type: integer}
    region: {at: /region, type: text}
    cents: {at: /cents, type: integer}
    placed_on: {at: /placed_on, type: text}
limits: {seconds: 5, max_rows: 10, max_bytes: 64KiB}
examples:
  - call: {id: 7}
    expect: {row_count: 1}
"""
_ORDERS: Final[LiteralString] = """\
CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer, region text, cents integer, placed_on date);
INSERT INTO orders SELECT n, n % 100, (ARRAY['EU', 'US'])[n % 2 + 1], n * 10, date '2026-01-01' + n % 300
FROM generate_series(1, 10000) AS n;
ANALYZE orders;
"""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A tool that is ready to be called, and what does the same without us."""

    tool: str
    driver: str
    """What the figure of the yardstick is called."""
    measure: Callable[[float], DriverSeen] = field(repr=False)
    """Measures it for some seconds."""


@contextmanager
def sqlite_ground(deployment: Deployment) -> Iterator[Ground]:
    """Measure on the file that every bench has."""
    database = deployment.root / "data" / "shop.db"
    yield Ground(tool=BENCH_TOOL, driver="driver", measure=partial(measure_driver, database))


@contextmanager
def postgres_ground(deployment: Deployment, administrator: str) -> Iterator[Ground]:
    """Make a database on the server that `administrator`, a superuser's dsn, leads to; it and its roles go at the end.

    Raises `Misconfigured` for a dsn that cannot be used.
    """
    name, password = f"bench_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(administrator).items() if value is not None}
        server = psycopg.connect(administrator, autocommit=True)
    except psycopg.Error as error:
        message = f"--postgres: {type(error).__name__}; a superuser's dsn, of a server to try things on, is accepted"
        raise Misconfigured(message) from error
    own = make_conninfo(administrator, dbname=name)
    with ExitStack() as stack:
        stack.enter_context(server)
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        stack.callback(server.execute, SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        server.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(name), Literal(password)))
        stack.callback(server.execute, SQL("DROP ROLE {}").format(Identifier(name)))
        _add_postgres(deployment, name, password, parameters)
        stack.callback(_undo, deployment, name, own)
        with psycopg.connect(own, autocommit=True) as owner:
            owner.execute(_ORDERS)
            owner.execute(setup_sql(deployment, name).script.encode())
        yield Ground(tool=POSTGRES_TOOL, driver="postgres-driver", measure=partial(measure_postgres_driver, own))


def _undo(deployment: Deployment, name: str, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(undo_sql(deployment, name).encode())


@contextmanager
def http_ground(deployment: Deployment) -> Iterator[Ground]:
    """Ask a small HTTP service on this machine."""
    with child("sandbox.bench.http_target") as process:
        port = int(first_line(process).removeprefix("ready http=") or 0)
        _append(
            deployment,
            f'\n[bench]\nengine = "http"\nbase_url = "http://127.0.0.1:{port}"\nallow_plain = true\n'
            f'networks = ["127.0.0.1/32"]\nceiling = {{methods = ["GET"], paths = ["{_PATH}*"]}}\n',
        )
        (deployment.toolspecs / f"{HTTP_TOOL}.yaml").write_text(_HTTP_SPEC, "utf-8")
        yield Ground(tool=HTTP_TOOL, driver="http-client", measure=partial(measure_http_client, port, f"{_PATH}7"))


def _add_postgres(deployment: Deployment, name: str, password: str, administrator: Mapping[str, str]) -> None:
    where = {"sslmode": "prefer"} | {key: value for key, value in administrator.items() if key in _WHERE}
    dsn = f"postgresql://{name}:{password}@/{name}?{urlencode(where)}"
    (deployment.root / "secrets").mkdir(mode=0o700, exist_ok=True)
    write_private(deployment.root / "secrets" / "bench.dsn", dsn.encode())
    _append(
        deployment,
        f'\n[{name}]\nengine = "postgres"\ndsn = {{file = "secrets/bench.dsn"}}\n'
        'ceiling = {tables = ["public.orders"]}\n',
    )
    spec = _POSTGRES_SPEC.replace("CONNECTION", name)
    (deployment.toolspecs / f"{POSTGRES_TOOL}.yaml").write_text(spec, "utf-8")


def _append(deployment: Deployment, text: str) -> None:
    with deployment.connections.open("a", encoding="utf-8") as file:
        file.write(text)
