"""What does the SQL fuzzer need of SQLite? Its words, and twins of the shop to run what the gate permits on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, final

import apsw
from fuzz_sql_pairs import FileTwins, in_folders
from fuzz_sql_shop import bare_twins, twins
from fuzz_sql_twins import BARE_ROWS, Answer, Pair
from fuzz_sql_words import Words

from sandbox.bench.sql.harm import Harm
from sandbox.bench.sql.shop import Tables, whole_shop
from sandbox.bench.sql.sqlite_ground import SqliteGround
from sandbox.bench.sql.sqlite_owner import answer_of, image, opened, settings_of
from sandbox.toolspec import SqlEngine

WORDS: Final = Words(
    engine="sqlite",
    good={
        "n": (
            *("unicode(<t>)", "instr(<t>, 'a')", "ifnull(<n>, 0)", "iif(<b>, <n>, <n>)", "<n> & 3", "~<n>", "<n> << 2"),
            *("json_extract(<j>, '$.n')", "<j> ->> '$.n'", "json_array_length(<j>, '$.tags')", "julianday(<d>)", "<b>"),
            *("CAST(<t> AS REAL)", "abs(<n> - 9223372036854775807 - 1)", "typeof(<n>) = 'integer'", "max(<n>, <n>)"),
            *("unixepoch(<d>)", "mod(<n>, 3)", "floor(<n>)", "pow(<n>, 2)", "json(<t>)", "0x1F"),
            *("json_valid(<t>)", "octet_length(<t>)", "sqrt(<n>)", "1 IS NOT <n>", "<n> IS <n>", "strftime('%s', <d>)"),
        ),
        "t": (
            *("hex(<t>)", "quote(<t>)", "typeof(<t>)", "printf('%d', <n>)", "ifnull(<t>, '')", "char(<n>)"),
            "min(<t>, <t>)",
            *("json_extract(<j>, '$.ip')", "<j> -> '$.tags'", "json_object('k', <t>)", "json_quote(<t>)"),
            "group_concat(<t>)",
            *("<t> COLLATE NOCASE", "ltrim(<t>, 'a')", "json_type(<j>)", "format('%s', <t>)"),
            "json_set(<j>, '$.a', <n>)",
            *('"lamp"', "x'6162'", "unhex(<t>)", "json_array(<n>, <t>)", "concat_ws('-', <t>, <t>)"),
            "strftime('%Y', <d>)",
        ),
        "d": ("date(<d>)", "datetime(<d>, '+1 day')", "date('now')", "current_date"),
        "b": (
            *("<t> GLOB '*a*'", "<t> == <str>", "<t> IS <t>", "<t> ISNULL", "<n> NOTNULL"),
            "<t> = <str> COLLATE NOCASE",
            *("<n> IN (SELECT value FROM (VALUES (1)))", "<n>", "<t> LIKE '%a%' ESCAPE '\\'"),
            "<n> BETWEEN <n> AND <n>",
        ),
    },
    bad={
        "n": (
            *("rowid", "oid", "_rowid_", "last_insert_rowid()", "changes()", "sqlite_version()", "random()"),
            *("(SELECT count(*) FROM sqlite_master)", "load_extension('x')", "zeroblob(10)", "sqlite_offset(id)"),
        ),
        "t": (
            *("(SELECT max(sql) FROM sqlite_schema)", "[token]", "`cost`", "readfile('/etc/hostname')"),
            "fts3_tokenizer('x')",
            *("(SELECT name FROM pragma_table_info('vault'))", "sqlite_source_id()", "randomblob(4)", "hex(<hidden>)"),
        ),
        "b": ("<n> IN products", "<t> REGEXP 'a'", "<t> MATCH 'x'", "<hidden> GLOB 'c*'", "<t> IN vault"),
        "source": (
            *("(orders)", "(orders JOIN vault)", "sqlite_schema", "pragma_table_info('vault')", "json_each('[1]')"),
            *("temp.sqlite_schema", "dbstat"),
        ),
        "statement": (
            *("PRAGMA table_info(vault)", "ATTACH ':memory:' AS mine", "VACUUM"),
            "REPLACE INTO products (id) VALUES (1)",
            *("PRAGMA query_only = ON", "CREATE TEMP TABLE orders AS SELECT 1 AS id", "SAVEPOINT mine", "ANALYZE"),
        ),
    },
    aggregates=(
        *("group_concat(<t>)", "total(<n>)", "json_group_array(<n>)", "group_concat(<t>, '-')", "max(<t>)", "min(<t>)"),
        *("json_group_object(<t>, <n>)", "string_agg(<t>, ',' ORDER BY <n>)"),
    ),
    windows=(
        *("group_concat(<t>) OVER (<w>)", "count(*) FILTER (WHERE <b>) OVER (<w>)", "last_value(<t>) OVER (<w>)"),
        *("sum(<n>) OVER (<w> GROUPS 1 PRECEDING)", "min(<t>) OVER (<w> EXCLUDE TIES)", "lead(<n>, 1, <n>) OVER (<w>)"),
    ),
    joins=("NATURAL JOIN", "NATURAL LEFT JOIN", "FULL OUTER JOIN"),
    sources=("(SELECT 1 AS value) AS {}", "(SELECT id AS value FROM products LIMIT 3) {}"),
    quotes=('"{}"', "[{}]", "`{}`", "'{}'", "({})", "main.{}", "{}"),
    comments=("/**/", "/* x */", "-- x\n", "\t", "\r\n", "/* ' */", '/* " */ ', "--'\n", "\f", "\u00a0", "\r"),
    odd=(
        *("(", ")", ",", ".", "'", '"', "`", "[", "]", ";", "--", "/*", "*/", "\0", "?1", "@x", "$x", ":x", "||"),
        *("*", "::"),
        *("NOT", "NULL", "AS", "SELECT", "FROM", "WHERE", "UNION", "IN", "COLLATE", "ESCAPE", "OVER", "FILTER"),
        "INDEXED",
        *("WITHOUT", "ROWID", "MATERIALIZED", "LIMIT", "RETURNING", "NATURAL", "USING", "VALUES", "1e999", "0x"),
        "x'0'",
        *("rowid", "ISNULL", "IS", "ORDER BY", "GROUP BY", "HAVING", "WINDOW w AS ()", "CAST(", "true", "*", "1_000"),
    ),
)  # fmt: skip


@final
class _Bare:
    """One twin in memory, as its owner has it."""

    def __init__(self, tables: Tables) -> None:
        self._file = image(whole_shop(0, tables))
        self._open()

    def ask(self, text: str, seconds: float) -> tuple[Answer, str]:
        answer, is_answered, _ = answer_of(self._connection, text, seconds, BARE_ROWS)
        harm = ""
        if self._connection.in_transaction:
            harm = Harm.HOLDS
        elif self._connection.serialize("main") != self._file or settings_of(self._connection) != self._settings:
            harm = Harm.CHANGED
        if harm:
            self.close()
            self._open()
        return Answer(answer, is_answered), harm

    def harm(self) -> str:
        return ""  # told with each answer

    def close(self) -> None:
        self._connection.close()

    def _open(self) -> None:
        self._connection = opened(self._file)
        # As the executor has it: no value of a gigabyte.
        self._connection.limit(apsw.SQLITE_LIMIT_LENGTH, 1_000_000)
        self._settings = settings_of(self._connection)


@final
class SqlitePair(FileTwins):
    """The twins on SQLite, whose plans do not change with a few rows more."""

    engine: SqlEngine = "sqlite"
    file = "shop.db"

    def __init__(self, folders: Sequence[Path]) -> None:
        """Make them in two folders."""
        grounds = [SqliteGround(*of_twin) for of_twin in zip(folders, twins(), strict=True)]
        super().__init__(folders, grounds, [_Bare(tables) for tables in bare_twins()])


def sqlite_pair(_: str) -> AbstractContextManager[Pair]:
    """Make the twins in folders that go at the end."""
    return in_folders(SqlitePair)
