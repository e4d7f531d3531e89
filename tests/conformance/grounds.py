"""On what does each engine run the same promises? A shop on it, and how its owner changes it from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, final

import duckdb_cast
import executor_cast
import mariadb_server
import mysql_cast
import postgres_cast
from executor_cast import Shop, change, make_database
from postgres_server import Server

from sandbox.executors.grant_shape import GrantShape
from sandbox.executors.ready import ReadyTool
from sandbox.reasons import Refused
from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection, TableRule, ToolSpec


class Ground(Protocol):
    """A shop on one engine."""

    engine: str
    values: Mapping[str, tuple[str, object]]
    """Literal → column type of a result, cell."""
    declared: tuple[str, str]
    """What the catalogue calls the types of `id` and `region` of orders."""
    empty: tuple[str, str]
    """The column types of the same in a result without rows."""
    many: int
    """Calls that take a second or so."""
    moment: float
    """Seconds in which a plain statement is over, also on a busy machine."""

    def rules(self, tables: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
        """Name tables as the engine's catalogue does."""
        ...

    def shop(self, *specs: ToolSpec) -> Shop:
        """Open the shop with these tools, set up for them."""
        ...

    def change(self, script: str) -> None:
        """Change the database from outside, as its owner may."""
        ...

    def hide_orders(self) -> None:
        """Take the orders away."""
        ...

    def show_orders(self) -> None:
        """Put them back."""
        ...


@final
class SqliteGround:
    """A file."""

    engine = "sqlite"
    values: Mapping[str, tuple[str, object]] = {
        "1": ("integer", 1),
        "9223372036854775807": ("integer", 2**63 - 1),
        "-9223372036854775807 - 1": ("integer", -(2**63)),
        "1.5": ("real", 1.5),
        "9e999": ("real", float("inf")),
        "'Zoë ☃ 𝄞'": ("text", "Zoë ☃ 𝄞"),
        "'a' || char(0) || 'b'": ("text", "a\0b"),
        "''": ("text", ""),
        "x'00ff'": ("blob", b"\x00\xff"),
        "NULL": ("null", None),
    }
    many = 800
    moment = 0.05
    declared = ("INTEGER", "TEXT")
    empty = ("null", "null")

    def __init__(self, folder: Path) -> None:
        self.path = make_database(folder / "shop.db")

    def rules(self, tables: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
        return tables

    def shop(self, *specs: ToolSpec) -> Shop:
        return Shop(self.path, specs)

    def change(self, script: str) -> None:
        change(self.path, script)

    def hide_orders(self) -> None:
        self.change("ALTER TABLE orders RENAME TO away")

    def show_orders(self) -> None:
        self.change("ALTER TABLE away RENAME TO orders")


@final
class PostgresGround:
    """A database of a real server, set up as `sandbox doctor` says."""

    engine = "postgres"
    values: Mapping[str, tuple[str, object]] = {
        "1": ("integer", 1),
        "9223372036854775807": ("integer", 2**63 - 1),
        "-9223372036854775808": ("integer", -(2**63)),
        "1.50": ("text", "1.50"),
        "CAST('Infinity' AS float8)": ("real", float("inf")),
        "'Zoë ☃ 𝄞'": ("text", "Zoë ☃ 𝄞"),
        "''": ("text", ""),
        "true": ("boolean", True),
        "CAST(NULL AS integer)": ("integer", None),
        "DATE '2026-02-28'": ("text", "2026-02-28"),
    }
    many = 800
    moment = 0.05
    declared = ("integer", "text")
    empty = ("integer", "text")

    def __init__(self, server: Server, folder: Path) -> None:
        server.make_database("conformance", postgres_cast.SHOP)
        self._shop = postgres_cast.PostgresShop(server, folder, "conformance")
        self._specs: tuple[ToolSpec, ...] = ()

    def rules(self, tables: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
        return {f"public.{name}": replace(rule, table=f"public.{rule.table}") for name, rule in tables.items()}

    def shop(self, *specs: ToolSpec) -> Shop:
        self._specs = specs
        self._set_up()
        return Shop(Path(), specs, connection=self._shop.connection, lease_key=self._shop.folder / "lease.key")

    def change(self, script: str) -> None:
        script = re.sub(r"(DROP (TABLE|COLUMN) \w+)", r"\1 CASCADE", script)  # what the set-up made goes with it
        with self._shop.server.connect("conformance") as owner:
            owner.execute(script.encode())

    def hide_orders(self) -> None:
        self.change("ALTER TABLE orders RENAME TO away")
        self._set_up()

    def show_orders(self) -> None:
        self.change("ALTER TABLE away RENAME TO orders")
        self._set_up()

    def _set_up(self) -> None:
        self._shop.set_up(fitting_shapes(self._specs, self._shop.connection, self._shop.executor.read_catalogue()))


@final
class DuckdbGround:
    """A file."""

    engine = "duckdb"
    values: Mapping[str, tuple[str, object]] = {
        "1": ("integer", 1),
        "9223372036854775807": ("integer", 2**63 - 1),
        "-9223372036854775808": ("integer", -(2**63)),
        "170141183460469231731687303715884105727": ("integer", 2**127 - 1),
        "1.50": ("text", "1.50"),
        "CAST('infinity' AS DOUBLE)": ("real", float("inf")),
        "'Zoë ☃ 𝄞'": ("text", "Zoë ☃ 𝄞"),
        "'a' || chr(0) || 'b'": ("text", "a\0b"),
        "''": ("text", ""),
        "true": ("boolean", True),
        "CAST(NULL AS INTEGER)": ("integer", None),
        "DATE '2026-02-28'": ("text", "2026-02-28"),
        "CAST('infinity' AS DATE)": ("text", "infinity"),
        "INTERVAL '1 month 2 days'": ("text", "1 month 2 days"),
        "[1, NULL, 3]": ("text", "[1, NULL, 3]"),
        "from_hex('00ff')": ("blob", b"\x00\xff"),
    }
    many = 60
    moment = 0.5
    declared = ("INTEGER", "VARCHAR")
    empty = ("integer", "text")

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb_cast.connection_to(duckdb_cast.make_database(folder / "shop.duckdb"))

    def rules(self, tables: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
        return tables

    def shop(self, *specs: ToolSpec) -> Shop:
        return Shop(Path(), specs, connection=self._connection)

    def change(self, script: str) -> None:
        duckdb_cast.change(self._connection, script)

    def hide_orders(self) -> None:
        self.change("ALTER TABLE orders RENAME TO away")

    def show_orders(self) -> None:
        self.change("ALTER TABLE away RENAME TO orders")


@final
class MysqlGround:
    """A database of a real server, set up as `sandbox doctor` says."""

    engine = "mysql"
    values: Mapping[str, tuple[str, object]] = {
        "1": ("integer", 1),
        "9223372036854775807": ("integer", 2**63 - 1),
        "-9223372036854775808": ("integer", -(2**63)),
        "18446744073709551615": ("integer", 2**64 - 1),
        "1.50": ("text", "1.50"),
        "1.5e0": ("real", 1.5),
        "'Zoë ☃ 𝄞'": ("text", "Zoë ☃ 𝄞"),
        "''": ("text", ""),
        "TRUE": ("integer", 1),
        "CAST(NULL AS SIGNED)": ("integer", None),
        "CAST('2026-02-28' AS DATE)": ("text", "2026-02-28"),
        "X'00ff'": ("blob", b"\x00\xff"),
    }
    many = 400
    moment = 0.05
    declared = ("int", "text")
    empty = ("integer", "text")

    def __init__(self, server: mariadb_server.Server, folder: Path) -> None:
        self._shop = mysql_cast.founded(server, folder, "conformance", name="shop")
        self._specs: tuple[ToolSpec, ...] = ()

    def rules(self, tables: Mapping[str, TableRule]) -> Mapping[str, TableRule]:
        return tables

    def shop(self, *specs: ToolSpec) -> Shop:
        self._specs = specs
        self._set_up()
        return Shop(Path(), specs, connection=self._shop.connection, lease_key=self._shop.folder / "lease.key")

    def change(self, script: str) -> None:
        self._shop.server.ask(script, "conformance")

    def hide_orders(self) -> None:
        self.change("ALTER TABLE orders RENAME TO away")
        self._set_up()

    def show_orders(self) -> None:
        self.change("ALTER TABLE away RENAME TO orders")
        self._set_up()

    def _set_up(self) -> None:
        self._shop.set_up(fitting_shapes(self._specs, self._shop.connection, self._shop.executor.read_catalogue()))


def fitting_shapes(specs: Sequence[ToolSpec], connection: Connection, catalogue: Catalogue) -> list[GrantShape]:
    """Return the shapes of the tools that hold on the target."""
    shapes = []
    for spec in specs:
        try:
            ready = ReadyTool.of(spec, connection, catalogue, SqlSettings())
        except Refused:
            continue
        assert ready.shape is not None
        shapes.append(ready.shape)
    return shapes


EU = executor_cast.EU
