"""What does the SQL fuzzer need of PostgreSQL? Its words, and twins of the shop to run what the gate permits on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Final, final

import psycopg
from fuzz_sql_pairs import ServerTwins
from fuzz_sql_shop import bare_twins, twins
from fuzz_sql_twins import Answer, Pair
from fuzz_sql_words import Words
from psycopg import pq
from psycopg.conninfo import make_conninfo

from sandbox.bench.sql.harm import BARE_S, Harm
from sandbox.bench.sql.postgres_ground import PostgresGround, postgres_ground
from sandbox.bench.sql.postgres_owner import FINGERPRINT, LOCKS, SESSION, answer_of, run_plainly
from sandbox.bench.sql.postgres_shop import MORE
from sandbox.bench.sql.shop import Tables, whole_shop
from sandbox.sql import Proven
from sandbox.toolspec import SqlEngine

WORDS: Final = Words(
    engine="postgres",
    good={
        "n": (
            *("@ <n>", "<t>::integer", "<n>::bigint", "strpos(<t>, 'a')", "extract(year FROM <d>::date)", "ascii(<t>)"),
            "<n>::text::int",
            *("(<j>->>'n')::int", "jsonb_array_length(<j> -> 'tags')", "date_part('month', <d>::timestamp)", "<n> & 3"),
            *("greatest(<n>, <n>)", "width_bucket(<n>, 0, 10, 5)", "cardinality(ARRAY[<n>, <n>])", "div(<n>, 2)"),
            "(ARRAY[<n>])[1]",
            *("position('a' IN <t>)", "char_length(<t>)", "<n> ^ 2", "random()", "mod(<n>::int, 3)"),
            "num_nulls(<n>, <t>)",
            *("sqrt(<n>)", "ln(<n>)", "<n>::smallint", "(<t> || <n>)::numeric", "to_number(<t>, '999')", "length(<n>)"),
        ),
        "t": (
            *("<n>::text", "left(<t>, 2)", "split_part(<t>, 'a', 1)", "initcap(<t>)", "md5(<t>)"),
            "to_char(<n>, '999')",
            *("<j> ->> 'ip'", "(<j> -> 'tags') ->> 0", "format('%s', <t>)", "reverse(<t>)", "concat_ws('-', <t>, <n>)"),
            *("array_to_string(ARRAY[<t>, <t>], ',')", "substring(<t> FROM 1 FOR 2)", "quote_literal(<t>)"),
            "to_jsonb(<t>)::text",
            *("E'a\\\\b'", "$$x$$", "jsonb_build_object('k', <t>)::text", '<t> COLLATE "C"'),
            "overlay(<t> placing 'x' from 1)",
            *("encode(<t>::bytea, 'hex')", "regexp_replace(<t>, 'a', 'b')", "lpad(<t>, 5)"),
            "row_to_json(ROW(<n>))::text",
            *("(ROW(<t>, 1)).f1", "<d>::text", "jsonb_pretty(<j>)", "string_to_array(<t>, 'a')::text"),
            "<t>::varchar(2)",
        ),
        "d": (
            *("<d>::date", "<d>::timestamp", "now()", "<d>::date + 1", "date_trunc('month', <d>::timestamp)"),
            "current_date",
        ),
        "j": (
            *("jsonb_build_object('a', <n>)", "<j> -> 'tags'", "to_jsonb(<n>)", "<j> || '{\"a\": 1}'"),
            *("<j> #> '{tags}'", "<t>::jsonb"),
        ),
        "b": (
            *("<t> ILIKE '%A%'", "<t> ~ 'a'", "<n> = ANY (ARRAY[1, 2])", "<n> = ANY (<one n>)", "<n> > ALL (<one n>)"),
            *("<j> ? 'n'", "<j> @> '{\"n\": 1}'", "<t> SIMILAR TO '%a%'", "<b> IS TRUE", "<n> IS DISTINCT FROM <n>"),
            "true",
            *("(<n>, <n>) OVERLAPS (<n>, <n>)", "<t>::boolean", "<n> BETWEEN SYMMETRIC 9 AND 1"),
            "jsonb_path_exists(<j>, '$.n')",
            *("starts_with(<t>, 'a')", "<t> !~~ 'a%'", "(SELECT bool_and(<b>) FROM products)", "ROW(<n>, <t>) IS NULL"),
        ),
    },
    bad={
        "n": (
            *("tableoid", "ctid::text::int", "xmin::text::int", "pg_backend_pid()", "nextval('numbers')"),
            *("touch(<n>)", "<n> <%> 1"),
            *("(SELECT count(*) FROM pg_class)", "txid_current()", "pg_advisory_lock(1)", "'vault'::regclass::int"),
            "lo_creat(-1)",
        ),
        "t": (
            *("peek(1)", "length(1)", "current_user", "version()", "pg_read_file('x')", "(<n>::coupon)::text"),
            "current_setting('x')",
            *("query_to_xml('SELECT 1', true, true, '')::text", "orders::text", "row_to_json(orders)::text"),
            "(products).cost",
            *("set_config('x.y', <t>, true)", "pg_notify('alarm', 'x')::text", "reverse(<hidden>)"),
            "(SELECT v FROM vault v LIMIT 1)::text",
        ),
        "source": (
            *("ONLY products", "pg_class", "pg_stats", "information_schema.columns", "orders_old", "ONLY orders"),
            *("generate_series(1, 9)", "loud"),
        ),
        "statement": (
            *("COPY vault TO STDOUT", "TABLE vault", "SET search_path = x", "DO 'BEGIN END'", "TRUNCATE products"),
            "LISTEN x",
            *("WITH d AS (DELETE FROM orders RETURNING id) <query>", "SELECT * INTO mine FROM orders"),
            "LOCK TABLE orders",
        ),
        "tail": ("FOR SHARE", "FOR UPDATE SKIP LOCKED", "FETCH FIRST 3 ROWS WITH TIES"),
    },
    aggregates=(
        *("string_agg(<t>, ',')", "array_agg(<n>)", "bool_or(<b>)", "jsonb_agg(<t>)", "count(*) FILTER (WHERE <b>)"),
        *("percentile_cont(0.5) WITHIN GROUP (ORDER BY <n>)", "mode() WITHIN GROUP (ORDER BY <t>)", "min(<t>)"),
        "any_value(<n>)",
        *("array_agg(<t> ORDER BY <n>)", "stddev(<n>)", "jsonb_object_agg(<t>, <n>)"),
    ),
    windows=(
        *("string_agg(<t>, ',') OVER (<w>)", "percent_rank() OVER (<w>)"),
        "sum(<n>) OVER (<w> RANGE UNBOUNDED PRECEDING)",
    ),
    joins=("NATURAL JOIN", "NATURAL LEFT JOIN", "FULL OUTER JOIN"),
    namesakes=("@ x.{}", "x.{}::integer", "(ARRAY[x.{}])[1]", "(VALUES (x.{}))", "sum(x.{}) OVER ()", "x.*"),
    repeats=("unnest(ARRAY[1, 1, 1, 1, 1])", "generate_series(1, 5) * 0", "json_object_keys('{\"a\": 1}')"),
    sources=(
        *("generate_series(1, 5) AS {}(value)", "unnest(ARRAY[1, 2]) AS {}(value)"),
        "LATERAL (SELECT <n> AS value) AS {}",
        *("(SELECT 1 AS value) AS {}", "jsonb_array_elements('[1]') AS {}(value)"),
        "ROWS FROM (unnest(ARRAY[1])) AS {}(value)",
        *("products AS {}(value)", "orders * AS {}", "string_to_table(<t>, 'a') AS {}(value)"),
        "jsonb_each_text(<j>) AS {}(k, value)",
    ),
    quotes=('"{}"', "public.{}", 'U&"{}"', "({})", "{}::text", "pg_catalog.{}", "{}.*", "{}"),
    comments=("/**/", "/* x */", "-- x\n", "\t", "\r\n", "/* /* */ */", "/* ' */", "--'\n", "\f", "\u00a0", "\v"),
    odd=(
        *("(", ")", ",", ".", "'", '"', "$$", "$a$", "[", "]", ";", "--", "/*", "*/", "\0", "$1", ":x", "||", "*"),
        *("::", "::text"),
        *("NOT", "NULL", "AS", "SELECT", "FROM", "WHERE", "UNION", "IN", "COLLATE", "ESCAPE", "OVER", "FILTER"),
        *("LATERAL", "ONLY"),
        *("E'\\'", "U&'", "B'1'", "X'1F'", "N'x'", "ROW", "ARRAY", "TABLE", "VALUES", "DISTINCT ON (id)"),
        "FETCH FIRST 1 ROW ONLY",
        *("GROUPING SETS ((), (id))", "ROLLUP (id)", "CUBE (id)", "TABLESAMPLE SYSTEM (100)", "WITH ORDINALITY"),
        *("FOR UPDATE", "INTO"),
        *("ctid", "tableoid", "VARIADIC", "IS JSON", "AT TIME ZONE 'UTC'", "INTERVAL '1 day'"),
        *("OPERATOR(pg_catalog.+)", "->", "@>", "~"),
    ),
)  # fmt: skip


_LESS: Final = ("DELETE FROM orders_old", "DROP FUNCTION length(integer)")
"""What the gate alone does not guard against: rows that only a filter hides, and a function of the database that is
called like one of the engine's, which a tool's login does not find."""


@final
class _Bare:
    """One twin as its superuser has it: texts run in one transaction, each within a savepoint of its own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._watch = psycopg.connect(dsn, autocommit=True)
        self._is_cut = False
        self._open()

    def ask(self, text: str, seconds: float) -> tuple[Answer, str]:
        """Return the answer, and what is wrong already now; nothing, if nothing is."""
        if seconds > BARE_S:
            return self._ask_again(text, seconds), ""
        self._save()
        answer, is_answered, _ = run_plainly(self._session, text)
        if self._session.info.status is not pq.ConnStatus.OK:
            self._reopen()
            return Answer(answer, is_answered), "crash"
        status = self._session.info.transaction_status
        if status not in {pq.TransactionStatus.INERROR, pq.TransactionStatus.INTRANS}:
            self._reopen()
            return Answer(answer, is_answered), Harm.CHANGED
        try:
            self._do("RELEASE one" if status is pq.TransactionStatus.INTRANS else "ROLLBACK TO one")
        except psycopg.errors.QueryCanceled:
            self._cut()
        return Answer(answer, is_answered), ""

    def _save(self) -> None:
        try:
            self._do("SAVEPOINT one")
        except psycopg.errors.QueryCanceled:
            self._cut()
            self._do("SAVEPOINT one")

    def _cut(self) -> None:
        """Begin anew on a machine so busy that the time a text may take was over before a command of ours was."""
        self._reopen()
        self._is_cut = True

    def _ask_again(self, text: str, seconds: float) -> Answer:
        """Ask in a transaction of its own, where `now()` is another."""
        with psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None) as session:
            session.execute("BEGIN")
            session.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}".encode())
            answer, is_answered, _ = run_plainly(session, text)
            return Answer(answer, is_answered)

    def harm(self) -> str:
        """Return whether anything may be changed or held since this was asked last; begins another transaction."""
        with psycopg.RawCursor(self._watch) as cursor:
            row = cursor.execute(LOCKS, [self._session.info.backend_pid]).fetchone()
        is_same = not self._is_cut and row == (0,) and self._state() == self._before
        self._is_cut = False
        self._do("ROLLBACK")
        if is_same:
            self._begin()
        else:
            self._reopen()
        return "" if is_same else Harm.CHANGED

    def close(self) -> None:
        self._session.close()
        self._watch.close()

    def _state(self) -> tuple[str, str]:
        self._do("SET LOCAL statement_timeout = 0")
        return answer_of(self._session, FINGERPRINT), answer_of(self._session, SESSION)

    def _reopen(self) -> None:
        self._session.close()
        self._open()

    def _open(self) -> None:
        self._session = psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None)
        self._begin()

    def _begin(self) -> None:
        self._do("BEGIN")
        self._before = self._state()
        self._do(f"SET LOCAL statement_timeout = {int(BARE_S * 1000)}")

    def _do(self, command: str) -> None:
        self._session.execute(command.encode())


@final
class PostgresPair(ServerTwins[PostgresGround]):
    """The twins on PostgreSQL, whose plans do not change with a few rows more."""

    engine: SqlEngine = "postgres"

    def __init__(self, grounds: Sequence[PostgresGround], dsns: Sequence[str]) -> None:
        """Ask confined on the grounds, and bare in the databases of the dsns."""
        super().__init__(grounds, [_Bare(dsn) for dsn in dsns])

    def permit(self, text: str) -> Sequence[Proven]:
        """Take a text through the gate, for each twin's views."""
        return [ground.permit(text) for ground in self._grounds]

    def permit_bare(self, text: str, proven: Sequence[Proven]) -> str:  # noqa: ARG002 - tables stand for themselves
        """Return what runs where tables stand for themselves."""
        return self._grounds[0].permit_bare(text)


@contextmanager
def postgres_pair(administrator: str) -> Iterator[Pair]:
    """Make the twins on the server that a superuser's dsn leads to, and take them back at the end."""
    with ExitStack() as stack:
        grounds = [stack.enter_context(postgres_ground(administrator, tables)) for tables in twins()]
        dsns = [stack.enter_context(_database(administrator, tables)) for tables in bare_twins()]
        yield stack.enter_context(closing(PostgresPair(grounds, dsns)))


@contextmanager
def _database(administrator: str, tables: Tables) -> Iterator[str]:
    name = f"fuzz_{secrets.token_hex(4)}"
    with psycopg.connect(administrator, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        try:
            dsn = make_conninfo(administrator, dbname=name)
            with psycopg.connect(dsn) as owner:
                for statement in (*whole_shop(1, tables), MORE, *_LESS):
                    owner.execute(statement.encode())
            yield dsn
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
