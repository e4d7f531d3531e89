"""What does the SQL fuzzer need of DuckDB? Its words, and twins of the shop to run what the gate permits on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, final

from fuzz_sql_pairs import FileTwins, in_folders
from fuzz_sql_shop import bare_twins, reordered, twins
from fuzz_sql_twins import BARE_ROWS, Answer, Pair
from fuzz_sql_words import Words

from sandbox.bench.sql.duckdb_ground import DuckdbGround, answer_to, is_in_transaction, make_shop, opened, state_of
from sandbox.bench.sql.harm import BARE_S, Harm
from sandbox.bench.sql.shop import Tables
from sandbox.toolspec import SqlEngine

WORDS: Final = Words(
    engine="duckdb",
    good={
        "n": (
            *("<t>::integer", "<n>::bigint", "strpos(<t>, 'a')", "extract(year FROM <d>::date)", "ascii(<t>)"),
            *("TRY_CAST(<t> AS integer)", "len([<n>, <n>])", "[<n>, 2][1]", "list_sum([<n>, <n>])", "<n> // 2"),
            *("json_extract(<j>, '$.n')::int", "(<j>->>'$.n')::int", "json_array_length(<j>, '$.tags')", "<n> & 3"),
            *("greatest(<n>, <n>)", "if(<b>, <n>, <n>)", "date_diff('day', <d>::date, <d>::date)", "<n> ** 2"),
            *("row(<n>, <t>)[1]", "struct_extract(row(<n>, <t>), 1)", "list_position([<n>], 1)", "<n> % <n>"),
            *("datepart('month', <d>::date)", "levenshtein(<t>, <t>)", "hash(<t>) % 7", "bit_count(<n>)", "ln(<n>)"),
            *("map([<t>], [<n>])[<t>]", "map_extract(map([1], [<n>]), 1)[1]", "unicode(<t>)", "list_max([<n>, 1])"),
            *("array_length([<n>])", "<n> << 2", "sqrt(<n>)", "list_unique([<n>, <n>])", "epoch(<d>::timestamp)"),
        ),
        "t": (
            *("<n>::varchar", "left(<t>, 2)", "split_part(<t>, 'a', 1)", "md5(<t>)", "format('{} {}', <t>, <n>)"),
            *("<j> ->> '$.ip'", "json_extract_string(<j>, '$.tags[0]')", "printf('%s', <t>)", "reverse(<t>)"),
            *("array_to_string([<t>, <t>], ',')", "substring(<t> FROM 1 FOR 2)", "<t>[1]", "<t>[1:2]", "<t>[-1:]"),
            *("typeof(<t>)", "<t> COLLATE NOCASE", "regexp_replace(<t>, 'a', 'b')", "lpad(<t>, 5, ' ')"),
            "bar(1, 0, 5)",
            *("([<t>, <t>])[1:1]::varchar", "row(<n>, <t>)::varchar", "to_json([<n>])::varchar", "hex(<t>)"),
            *("regexp_extract(<t>, '[a-z]')", "strftime(<d>::timestamp, '%Y')", "list_sort([<t>, 'b'])[1]"),
            *("list_string_agg([<t>, <t>])", "string_split(<t>, 'a')[1]", "if(<b>, <t>, NULL)", "dayname(<d>::date)"),
            *("to_json(<t>)::varchar", "concat_ws('-', <t>, <n>)", "json_object('k', <t>)::varchar", "chr(65)"),
        ),
        "d": (
            *("<d>::date", "<d>::timestamp", "date_trunc('month', <d>::timestamp)", "<d>::date + INTERVAL 1 DAY"),
            "today()",
        ),
        "j": ("json_object('a', <n>)", "<j> -> '$.tags'", "to_json(<n>)", "json_merge_patch(<j>, '{\"a\": 1}')"),
        "b": (
            *("<t> ILIKE '%A%'", "<t> GLOB 'a*'", "<n> = ANY (<one n>)", "<n> IS DISTINCT FROM <n>", "<t> ^@ 'a'"),
            *("list_contains([<n>, 1], <n>)", "<n> IN [1, 2]", "<t> SIMILAR TO '.*a.*'", "regexp_matches(<t>, 'a')"),
            *("<n> > ALL (<one n>)", "json_exists(<j>, '$.n')", "starts_with(<t>, 'a')", "<t> NOT ILIKE 'z%'", "true"),
            *("contains(<t>, 'a')", "[<n>] && [1, 2]", "[<n>] @> [1]", "(<n>, <t>) IN ((1, 'x'))", "<t> ISNULL"),
            *("<t>::boolean", "(SELECT bool_and(<b>) FROM products)", "row(<n>, <t>) = row(1, 'x')", "<t> ~~ 'a%'"),
        ),
    },
    bad={
        "n": (
            *("rowid", "nextval('numbers')", "currval('numbers')", "txid_current()"),
            "(SELECT count(*) FROM duckdb_tables())",
            *("list_aggr([<n>], 'sum')", "aggregate([<n>], 'max')", "array_aggregate([<n>], 'nosuch')", "setseed(0.5)"),
            *("list_reduce([<n>], (a, b) -> a + b)", "list_transform([<n>], x -> x + 1)[1]"),
            "[x + 1 FOR x IN [<n>]][1]",
            *("{'a': <n>}.a", "#1", "COLUMNS(id)", "s1['id']", "(orders).cents", "getvariable('x')"),
            "orders.orders.id",
            *("random()", "list_aggregate(array_agg(tip), 'max')", "length(COLUMNS(*)::varchar)", "len([tip])"),
        ),
        "t": (
            *("current_user", "version()", "current_setting('home_directory')", "getenv('HOME')", "orders::varchar"),
            *("row_to_json(orders)", "to_json(s1)::varchar", "s1::varchar", "products['cost']", "(products).cost"),
            *("COLUMNS('no.*')", "error(<t>)", "(SELECT content FROM read_text('x'))"),
            "struct_extract(products, 'cost')",
            *("current_schema()", "pg_get_viewdef(1)", "unnest(orders)::varchar", "struct_pack(a := <t>).a", "$$x$$"),
            *("(SELECT v FROM vault v LIMIT 1)::varchar", "list_aggr([<t>], 'first')", "hash(orders)::varchar", "E'a'"),
            *("(SELECT struct_values(orders)::varchar)", "any_value(<hidden>)", "reduce([<t>], lambda a, b: a)"),
        ),
        "source": (
            *("duckdb_tables()", "information_schema.tables", "read_csv('theirs.csv')", "'theirs.csv'"),
            "query('SELECT 1')",
            *("query_table('vault')", "pragma_table_info('vault')", "sqlite_master", "pg_class", "glob('*')"),
            "main.orders",
            *("(FROM vault)", "(PIVOT orders ON item USING sum(cents))", "(DESCRIBE vault)", "(SUMMARIZE orders)"),
            *("(UNPIVOT products ON name, cost)", "memory.main.orders", "(TABLE vault)", "(SHOW TABLES)"),
            "sandbox.orders",
            *("(SELECT COLUMNS(* EXCLUDE (id)) FROM products)", "test_all_types()", "s1: products"),
            *("(SELECT value: 1)", "products POSITIONAL JOIN vault", "(VALUES (1, 'x', 'y')) AS vault"),
        ),
        "statement": (
            *("COPY vault TO 'x.csv'", "FROM vault", "TABLE vault", "SET threads = 2", "PRAGMA show_tables"),
            "ATTACH ':memory:'",
            *("PIVOT orders ON item USING sum(cents)", "SUMMARIZE orders", "DESCRIBE vault", "INSTALL httpfs"),
            "LOAD json",
            *("CREATE MACRO m() AS 1", "EXPORT DATABASE 'x'", "CALL pragma_version()", "CHECKPOINT", "SHOW TABLES"),
            *("FROM products SELECT cost", "FROM (FROM vault)", "WITH x AS (FROM vault) FROM x", "SET VARIABLE x = 1"),
            *("FROM orders SELECT note WHERE true", "SELECT UNNEST(products) FROM products"),
            "FROM query('FROM vault')",
            *("SELECT COLUMNS(c -> c LIKE 'n%') FROM orders", "SELECT * LIKE 'no%' FROM orders", "FORCE CHECKPOINT"),
            *("SELECT * REPLACE (note AS id) FROM orders", "SELECT * RENAME (note AS x) FROM orders", "EXECUTE x"),
        ),
        "tail": ("USING SAMPLE 3", "TABLESAMPLE 50%", "FOR UPDATE", "LIMIT 50%", "QUALIFY cost = 'x'", "ORDER BY cost"),
    },
    aggregates=(
        *("string_agg(<t>, ',')", "array_agg(<n>)", "bool_or(<b>)", "list_sum(array_agg(<n>))"),
        "count(*) FILTER (<b>)",
        *("arg_max(<t>, <n>)", "median(<n>)", "mode(<t>)", "quantile_cont(<n>, 0.5)", "histogram(<t>)", "first(<t>)"),
        *("array_agg(<t> ORDER BY <n>)", "stddev(<n>)", "any_value(<n>)", "approx_count_distinct(<t>)", "max(<n>, 2)"),
        *("count_if(<b>)", "max_by(<t>, <n>)", "string_agg(DISTINCT <t>, ',' ORDER BY <t>)", "sum(<n>) FILTER (<b>)"),
        *("percentile_cont(0.5) WITHIN GROUP (ORDER BY <n>)", "min(<t>)", "json_group_array(<t>)", "count()"),
    ),
    windows=(
        *("string_agg(<t>, ',') OVER (<w>)", "percent_rank() OVER (<w>)", "last_value(<n> IGNORE NULLS) OVER (<w>)"),
        *("sum(<n>) OVER (<w> RANGE UNBOUNDED PRECEDING)", "count(*) FILTER (WHERE <b>) OVER (<w>)"),
        "fill(<n>) OVER (<w>)",
        *("sum(<n>) OVER (<w> ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE TIES)", "lead(<n>, 1, 0) OVER (<w>)"),
    ),
    joins=(
        *("NATURAL JOIN", "SEMI JOIN", "ANTI JOIN", "ASOF JOIN", "ASOF LEFT JOIN", "FULL OUTER JOIN"),
        *("SEMI JOIN", "ANTI JOIN", "NATURAL SEMI JOIN"),
    ),
    namesakes=("x.{}::integer", "[x.{}][1]", "sum(x.{}) OVER ()", "x.*", "COLUMNS('{}')"),
    repeats=("unnest([1, 1, 1, 1, 1])", "unnest(range(5)) * 0"),
    sources=(
        *("generate_series(1, 5) AS {}(value)", "unnest([1, 2]) AS {}(value)", "range(3) AS {}(value)"),
        *("LATERAL (SELECT <n> AS value) AS {}", "(SELECT 1 AS value) AS {}", "(SELECT <n> AS value) AS {}"),
        *("(FROM range(3) SELECT 1 AS value) AS {}", "(VALUES (1), (2)) AS {}(value)", "products AS {}(value)"),
        *("json_each(<j>) AS {}", "(SELECT unnest([1, 2]) AS value) AS {}"),
        *("unnest(string_split(<t>, 'a')) AS {}(value)", "unnest([row(1, 2)]) AS {}(value)", "range(<n>) AS {}(value)"),
    ),
    quotes=('"{}"', "main.{}", "({})", "{}::varchar", "{}.*", "{}", "memory.main.{}", "'{}'", "{}[1]", "COLUMNS({})"),
    comments=("/**/", "/* x */", "-- x\n", "\t", "\r\n", "/* /* */ */", "/* ' */", "--'\n", "\f", "\u00a0", "\u200b"),
    odd=(
        *("(", ")", ",", ".", "'", '"', "$$", "$a$", "[", "]", "{", "}", ";", "--", "/*", "*/", "\0", "$1", ":x", "||"),
        *("*", "::", "::varchar", "NOT", "NULL", "AS", "SELECT", "FROM", "WHERE", "UNION", "UNION BY NAME", "IN"),
        "COLLATE",
        *("FILTER", "OVER", "LATERAL", "E'\\'", "X'1F'", "ROW", "TABLE", "VALUES", "DISTINCT ON (id)", "QUALIFY"),
        "PIVOT",
        *("GROUP BY ALL", "ORDER BY ALL", "EXCLUDE (id)", "REPLACE (1 AS id)", "RENAME (id AS x)", "COLUMNS(*)"),
        "ASOF",
        *("GROUPING SETS ((), (id))", "ROLLUP (id)", "CUBE (id)", "USING SAMPLE 10%", "TABLESAMPLE 50%"),
        "WITH ORDINALITY",
        *("POSITIONAL", "SEMI", "ANTI", "UNNEST", "->", "->>", "@>", "//", "**", "lambda x: x", "x -> x", ":=", "=>"),
        "#1",
        *("AT TIME ZONE 'UTC'", "INTERVAL 1 DAY", "rowid", "USING KEY (id)", "MATERIALIZED", "note: "),
        "AT (VERSION => 1)",
        *("STRUCT(a INT)", "MAP {1: 2}", "1_000", "0x1F", "TRY(", "IS JSON", "IGNORE NULLS", "ANY_VALUE(", "OFFSET"),
        "note",
    ),
    shapes=(
        *("{from} SELECT {items}{where}{end}", "{from} SELECT {items}{where}"),
        "SELECT {items} {from}{where} ORDER BY ALL",
        "SELECT {items} {from}{where} GROUP BY ALL",
        "SELECT {items}, count(*) AS c {from}{where} GROUP BY ALL ORDER BY ALL",
        "SELECT DISTINCT ON (<n>) {items} {from}{where} ORDER BY <n>",
        "SELECT DISTINCT ON (v0) {items} {from}{where}",
        "SELECT {items} {from}{where} QUALIFY row_number() OVER (<w>) > 1",
        "SELECT {items}, v0 AS again {from}{where}",
        *("SELECT {items} {from}{where} QUALIFY rank() OVER (<w>) = 1", "SELECT {items} {from} WHERE v0 IS NOT NULL"),
        "SELECT {items} {from}{where} GROUP BY ALL HAVING count(*) > 1",
        "SELECT {items} {from}{where} LIMIT 3 OFFSET 1",
        "SELECT {items}, sum(<n>) AS total {from}{where} GROUP BY v0",
        "SELECT {items} {from}{where} GROUP BY ROLLUP (v0)",
        *("SELECT {items}, unnest([1, 2]) AS u {from}{where}{end}", "SELECT {items} {from}{where} ORDER BY v0 DESC"),
    ),
    stars=(
        *("*", "*", "* EXCLUDE (id)", "* EXCLUDE (note)", "* EXCLUDE (cost, id)", "* EXCLUDE id, 1 AS one"),
        *("* REPLACE (<n> AS id)", "* RENAME (id AS x)", "*, <n> AS more", "COLUMNS('i.*')", "* LIKE 'n%'"),
    ),
    without=("VALUES",),
)  # fmt: skip

_TRACE: Final = "Stack Trace"
"""Where of an error of DuckDB's own begins what differs each time."""
_BROKEN: Final = ("InternalException", "FatalException")
"""After these a database answers no more."""


_LARGE: Final = re.compile(
    r"\b(?:repeat|[lr]pad|(?:list|array)_resize|range|generate_series|factorial)\b.*[0-9]{5}", re.IGNORECASE | re.DOTALL
)
"""What makes much at once hears no interrupt: that runs in processes alone, which are killed."""
_OTHER_PLANS: Final = ("PRAGMA disable_optimizer", "SET nested_loop_join_threshold = 1000")
"""What depends on the order of rows is told by plans that no statistics shape, too."""


@final
class _Bare:
    """One twin in a file, as its owner has it."""

    def __init__(self, path: Path, tables: Tables, *settings: str) -> None:
        self._path = make_shop(path, tables)
        self._whole = path.read_bytes()
        self._settings = settings
        self._open()
        self._fresh = self._state()

    def ask(self, text: str, seconds: float) -> tuple[Answer, str]:
        answer, is_answered, _ = answer_to(self._database, text, seconds, BARE_ROWS)
        if not is_answered:
            answer = answer.partition(_TRACE)[0]
            if answer.startswith(_BROKEN):
                self._anew()
        return Answer(answer, is_answered), ""

    def harm(self) -> str:
        """Return what was done since this was asked last, and put it right."""
        harm = Harm.HOLDS if is_in_transaction(self._database) else ""
        if not harm and self._state() == self._fresh:
            return ""
        self._anew()
        return harm or Harm.CHANGED

    def close(self) -> None:
        self._database.close()

    def _anew(self) -> None:
        self._database.close()
        self._path.with_name(f"{self._path.name}.wal").unlink(missing_ok=True)
        self._path.write_bytes(self._whole)
        self._open()

    def _open(self) -> None:
        self._database = opened(self._path)
        for setting in self._settings:
            self._database.execute(setting)

    def _state(self) -> str:
        return state_of(self._database, "MACRO")


@final
class DuckdbPair(FileTwins):
    """The twins on DuckDB."""

    engine: SqlEngine = "duckdb"
    file = "shop.duckdb"

    def __init__(self, folders: Sequence[Path]) -> None:
        """Make them in two folders."""
        grounds = [DuckdbGround(*of_twin) for of_twin in zip(folders, twins(), strict=True)]
        first, second = bare_twins()
        owned, other = (folder / "owned.duckdb" for folder in folders)
        last = _Bare(folders[0] / "reordered.duckdb", reordered(first), *_OTHER_PLANS)
        super().__init__(folders, grounds, [_Bare(owned, first), _Bare(other, second)], last)

    def bare(self, text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run a text as the owner of each twin."""
        if _LARGE.search(text):
            return [Answer("too much", is_answered=False)] * 2
        return super().bare(text, seconds)


def duckdb_pair(_: str) -> AbstractContextManager[Pair]:
    """Make the twins in folders that go at the end."""
    return in_folders(DuckdbPair)
