"""What does the SQL fuzzer need of MariaDB? Its words, and twins of the shop to run what the gate permits on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Final, final

from fuzz_sql_pairs import ServerTwins
from fuzz_sql_shop import bare_twins, reordered, twins
from fuzz_sql_twins import Answer, Pair
from fuzz_sql_words import Words

from sandbox.bench.sql.harm import BARE_S, Harm
from sandbox.bench.sql.mysql_ground import MysqlGround, ShopServer, mysql_ground
from sandbox.bench.sql.mysql_owner import GRACE_S, SESSION, SPENT, fingerprint
from sandbox.executors.ending import Over
from sandbox.executors.server_trouble import Gone, TooMuch
from sandbox.sql import Proven
from sandbox.toolspec import SqlEngine

WORDS: Final = Words(
    engine="mysql",
    good={
        "n": (
            *("CAST(<t> AS SIGNED)", "CAST(<n> AS DECIMAL(10,2))", "instr(<t>, 'a')", "ifnull(<n>, 0)", "<n> DIV 2"),
            *("if(<b>, <n>, <n>)", "<n> & 3", "~<n>", "<n> << 2", "<n> ^ 2", "json_extract(<j>, '$.n')", "<n> MOD 3"),
            *("json_length(<j>, '$.tags')", "extract(year FROM <d>)", "year(<d>)", "datediff(<d>, <d>)", "ascii(<t>)"),
            *("greatest(<n>, <n>)", "field(<t>, 'lamp', 'desk')", "locate('a', <t>)", "char_length(<t>)", "crc32(<t>)"),
            *("<t> + 0", "<t> = <t>", "<t> LIKE '%a%'", "(<n> > 1) + (<n> < 3)", "0x1F", "x'41' + 0", "b'101' + 0"),
            *("timestampdiff(DAY, <d>, <d>)", "to_days(<d>)", "strcmp(<t>, <t>)", "interval(<n>, 1, 2)", "pow(<n>, 2)"),
            *("position('a' IN <t>)", "CONVERT(<t>, SIGNED)", "truncate(<n>, 1)", "find_in_set(<t>, 'a,b')"),
            "<n> XOR 1",
            *("bit_count(<n>)", "inet_aton(<t>)", "unix_timestamp(<d>)", "json_valid(<t>)", "- - <n>", "mod(<n>, 3)"),
        ),
        "t": (
            *("concat(<t>, <t>)", "concat_ws('-', <t>, <n>)", "left(<t>, 2)", "hex(<t>)", "quote(<t>)", '"lamp"'),
            *("substring_index(<t>, 'a', 1)", "if(<b>, <t>, '')", "ifnull(<t>, '')"),
            "json_unquote(json_extract(<j>, '$.ip'))",
            *("json_value(<j>, '$.ip')", "json_object('k', <t>)", "date_format(<d>, '%Y-%m')", "elt(1, <t>)"),
            "lcase(<t>)",
            *("CAST(<n> AS CHAR)", "CAST(<n> AS CHAR(3))", "'it\\'s'", "'a\\\\'", '"it""s"', "'\\%'", "soundex(<t>)"),
            *("<t> COLLATE utf8mb4_bin", "insert(<t>, 1, 1, 'x')", "lpad(<t>, 5, 'x')", "reverse(<t>)", "'a\\n'"),
            '"a\'b"',
            *("regexp_replace(<t>, 'a', 'b')", "md5(<t>)", "conv(<n>, 10, 16)", "format(<n>, 2)"),
            "CONVERT(<t> USING utf8mb4)",
            *("trim(BOTH 'x' FROM <t>)", "substring(<t> FROM 1 FOR 2)", "json_array(<n>, <t>)", "dayname(<d>)"),
            "space(2)",
            *("json_set(<j>, '$.a', <n>)", "make_set(<n>, 'a', 'b')", "export_set(3, 'y', 'n')", "sha2(<t>, 256)"),
            "x'6162'",
            *("json_search(<j>, 'one', 'new')", "unhex(hex(<t>))", "mid(<t>, 1, 2)", "regexp_substr(<t>, '[a-z]')"),
        ),
        "d": (
            *("date(<d>)", "<d> + INTERVAL 1 DAY", "date_add(<d>, INTERVAL <n> DAY)", "DATE '2024-03-01'"),
            "last_day(<d>)",
            *("CAST(<d> AS DATE)", "str_to_date('2024', '%Y')", "current_date", "TIMESTAMP '2024-03-01 10:00:00'"),
        ),
        "j": ("json_object('a', <n>)", "json_extract(<j>, '$.tags')", "json_merge_patch(<j>, '{\"a\": 1}')"),
        "b": (
            *("<t> REGEXP 'a'", "<t> RLIKE '^[a-l]'", "<t> <=> <t>", "<n> <=> NULL", "<t> NOT REGEXP 'z'", "<n>"),
            "<b> && <b>",
            *("<b> XOR <b>", "<n> = ANY (<one n>)", "<n> > ALL (<one n>)", "json_contains(<j>, '1', '$.n')"),
            "<b> IS TRUE",
            *("<t> LIKE '%|%' ESCAPE '|'", "(<n>, <t>) IN ((1, 'x'))", "<n> != <n>", "isnull(<t>)"),
            *("json_exists(<j>, '$.n')", "soundex(<t>) = soundex(<t>)", "<t> IS NOT UNKNOWN", "<t> LIKE '\\_%'"),
            "<n> <> 1",
            *("(<n>, <n>) > (1, 2)", "(<n>, <t>) IN (SELECT id, name FROM products)", "strcmp(<t>, 'a') = 1"),
        ),
    },
    bad={
        "n": (
            *("@x", "@@version", "@x := 1", "last_insert_id()", "connection_id()", "sleep(0)", "benchmark(1, 1)"),
            "get_lock('x', 0)",
            *("nextval(numbers)", "NEXT VALUE FOR numbers", "(SELECT count(*) FROM information_schema.tables)"),
            "row_count()",
            *("/*!1+*/<n>", "/*M! 1+ */ <n>", "found_rows()", "uuid_short()", "rand(<n>)", "default(cost)"),
            "values(cost)",
            *("_rowid", "length(_utf8mb4 <t>)", "<n> || <n>", "1--1", "--1", "mysql.user.x", "password('x')"),
            "lastval(numbers)",
        ),
        "t": (
            *("user()", "current_user", "database()", "version()", "load_file('/etc/hostname')", "_utf8mb4'a'"),
            "_latin1 0x61",
            *("N'x'", "'a' 'b'", "<t> SOUNDS LIKE <t>", "\\N", "@@datadir", "(SELECT @x := <t>)"),
            *("extractvalue(<t>, <hidden>)", "uuid()"),
            *("(SELECT table_name FROM information_schema.tables LIMIT 1)", "updatexml(1, <t>, 1)", "default(note)"),
            "repeat(<t>, 9)",
            *("name_const('a', <t>)", "!<t>", "<j> -> '$.ip'", "column_json(<t>)", "BINARY <hidden>"),
            "{d '2024-01-01'}",
            *("group_concat(<hidden>)", "bench.vault.token", "`vault`.`token`", "aes_encrypt(<t>, 'k')", "'\\0'"),
            "'a\\",
        ),
        "b": (
            *("<t> SOUNDS LIKE <t>", "match(<hidden>) against ('x')", "<t> || <t>", "!<n>", "EXISTS (TABLE vault)"),
            "<hidden> <=> 'x'",
            *("<hidden> REGEXP '^c'", "<hidden> RLIKE 'a'", "<n> IN (SELECT id FROM vault FOR SYSTEM_TIME ALL)"),
            "<t> = BINARY 'x'",
        ),
        "source": (
            *("information_schema.tables", "mysql.user", "performance_schema.threads", "(VALUES (1))", "dual"),
            *("numbers", "LATERAL vault"),
            *("JSON_TABLE('[1]', '$[*]' COLUMNS (id int PATH '$'))", "orders FOR SYSTEM_TIME ALL"),
            *("orders PARTITION (p0)", "(orders)"),
            *("orders FORCE INDEX (PRIMARY)", "{OJ orders}", "`vault`", "`orders `", "sys.version", "ORDERS", "Vault"),
            "(orders, vault)",
        ),
        "statement": (
            *("SHOW TABLES", "DESCRIBE vault", "HANDLER vault OPEN", "TABLE vault", "SET @x = 1", "DO sleep(0)"),
            *("CALL x()", "USE mysql"),
            *("SELECT 1 INTO @x", "SELECT token FROM vault INTO OUTFILE '/tmp/x'", "LOCK TABLES orders READ"),
            *("FLUSH TABLES", "KILL 1"),
            *("REPLACE INTO products (id) VALUES (1)", "LOAD DATA INFILE 'x' INTO TABLE vault", "TRUNCATE products"),
            "EXECUTE IMMEDIATE 'x'",
            *("WITH x AS (<query>) SELECT * FROM x FOR UPDATE", "BEGIN NOT ATOMIC SELECT 1; END", "ANALYZE SELECT 1"),
            "PREPARE x FROM 'y'",
            *("/*! DELETE FROM orders */", "<query> /*!UNION SELECT token FROM vault*/"),
            *("SELECT 1 -- x\n; DELETE FROM orders", "XA RECOVER"),
        ),
        "tail": (
            *("FOR UPDATE", "LOCK IN SHARE MODE", "PROCEDURE ANALYSE()", "INTO @x", "LIMIT 1 INTO @x"),
            "LIMIT ROWS EXAMINED 9",
            *("/*! FOR UPDATE */", "#x", "-- x", "--x", "FOR UPDATE SKIP LOCKED", "INTO DUMPFILE 'x'", "LIMIT 2, @x"),
        ),
    },
    aggregates=(
        *("group_concat(<t>)", "group_concat(DISTINCT <t> ORDER BY <t> SEPARATOR '-')", "json_arrayagg(<n>)"),
        *("min(<t>)", "std(<n>)"),
        *("bit_or(<n>)", "count(DISTINCT <t>, <n>)", "json_objectagg(<t>, <n>)", "sum(DISTINCT <n>)", "max(<d>)"),
        "sum(<b>)",
        *("group_concat(<t>, <n> ORDER BY 1 LIMIT 2)", "avg(<t>)", "variance(<n>)"),
    ),
    windows=(
        *("percent_rank() OVER (<w>)", "sum(<n>) OVER (<w> RANGE UNBOUNDED PRECEDING)"),
        "median(<n>) OVER (PARTITION BY <t>)",
        "last_value(<n>) OVER (<w> ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
        "cume_dist() OVER (<w>)",
        *("group_concat(<t>) OVER ()", "percentile_cont(0.5) WITHIN GROUP (ORDER BY <n>) OVER (PARTITION BY <t>)"),
    ),
    joins=("NATURAL JOIN", "NATURAL LEFT JOIN", "RIGHT OUTER JOIN", "JOIN", "LEFT JOIN", ","),
    sources=(
        *("(SELECT 1 AS value) AS {}", "(SELECT 1 AS value FROM dual) {}"),
        "(SELECT id AS value FROM products LIMIT 3) {}",
        *("(SELECT 1 AS value UNION SELECT 2) {}", "(WITH q AS (SELECT 2 AS value) SELECT * FROM q) {}"),
        "(SELECT <n> AS value) AS {}",
    ),
    quotes=("`{}`", '"{}"', "'{}'", "({})", "{}", "`{} `", "{}`", "bench.{}", ".{}", "@{}"),
    comments=(
        *("/**/", "/* x */", "-- x\n", "#x\n", "\t", "\r\n", "/* ' */", "--\t'\n", "--x\n", "#'\n", "/*! */", "\f"),
        *("\u00a0", "-- \r"),
    ),
    odd=(
        *("(", ")", ",", ".", "'", '"', "`", "\\", "\\'", ";", "--", "#", "/*", "*/", "/*!", "/*M!", "/*!99999", "\0"),
        *("?", "@x", ":x"),
        *("||", "&&", "!", "<=>", ":=", "*", "->", "{", "}", "NOT", "NULL", "AS", "SELECT", "FROM", "WHERE", "UNION"),
        *("IN", "COLLATE"),
        *("ESCAPE", "OVER", "WITH ROLLUP", "STRAIGHT_JOIN", "SQL_NO_CACHE", "SQL_CALC_FOUND_ROWS", "HIGH_PRIORITY"),
        "DISTINCTROW",
        *("USE INDEX (PRIMARY)", "FORCE INDEX ()", "IGNORE INDEX (x)", "PARTITION (p0)", "FOR SYSTEM_TIME ALL"),
        *("_utf8mb4", "_binary"),
        *("BINARY", "N'x'", "x'0'", "0x", "b'2'", "\\N", "DIV", "MOD", "XOR", "SOUNDS LIKE", "REGEXP", "RLIKE", "DUAL"),
        *("VALUES", "ROW"),
        *("INTO", "FOR UPDATE", "LOCK IN SHARE MODE", "PROCEDURE", "INTERVAL 1 DAY", "AGAINST", "MATCH", "CASE", "END"),
        "WINDOW w AS ()",
        *("COLLATE utf8mb4_bin", "CHARACTER SET utf8mb4", "USING utf8mb4", "1e999", "1_000", "LIMIT 1, 2"),
        *("OFFSET 1 ROWS", "''"),
        *("FETCH FIRST 1 ROWS ONLY", "FETCH FIRST 1 ROWS WITH TIES", "EXCEPT", "INTERSECT ALL", "CYCLE id RESTRICT"),
        "RECURSIVE",
    ),
    shapes=(
        *("SELECT {items} {from}{where} HAVING v0 IS NOT NULL", "SELECT {items} {from}{where} ORDER BY v0"),
        "SELECT {items} {from}{where}",
        "SELECT {items}, <n> AS extra {from}{where} HAVING extra > 2 ORDER BY extra",
        "SELECT {items} {from}{where} LIMIT 1, 3",
        "SELECT {items} {from}{where} GROUP BY v0 WITH ROLLUP",
        "SELECT {items}, count(*) AS c {from}{where} GROUP BY 1 WITH ROLLUP",
        "SELECT count(*), <t> AS k {from}{where} GROUP BY k WITH ROLLUP",
        "SELECT {items} {from}{where} GROUP BY v0 DESC",
        "SELECT {items} {from}{where} ORDER BY v0 + 1, <n> DESC",
        "SELECT {items} {from}{where} FETCH FIRST 2 ROWS ONLY",
        "SELECT {items} {from}{where} HAVING <b>",
        "SELECT {items} {from}{where} GROUP BY v0 HAVING count(*) > 1 AND v0 > 0",
        *("SELECT ALL {items} {from}{where}{end}", "(SELECT {items} {from}{where}{end})"),
        *("SELECT {items}, upper(<t>) 'note' {from}{where}", 'SELECT {items}, <n> "k" {from}{where}{end}'),
    ),
    stars=("*", "*, 1 AS one", "*"),
    without=(
        *("||", "AS integer", "AS text", "NULLS LAST", "FULL", "FILTER", "IS NOT DISTINCT FROM", "'\\%'", "Ω"),
        *("MATERIALIZED", "VALUES"),
    ),
)  # fmt: skip


@final
class _Bare:
    """One twin as its administrator has it."""

    def __init__(self, server: ShopServer) -> None:
        server.make_bare()
        self._server = server
        self._watch = server.connect("information_schema")
        self._open()
        self._kept = self._state()

    def ask(self, text: str, seconds: float) -> tuple[Answer, str]:
        """Return the answer, and what is wrong already now."""
        is_again = seconds != BARE_S
        try:
            if is_again:  # WHY in another session: rows that are alike come in the order of what it used its memory for
                self._reopen()
                self._limit(seconds)
            told = self._session.ask(text, seconds + GRACE_S)
            if is_again:
                self._reopen()
        except (Over, TooMuch):
            self._reopen()
            return Answer("too much", is_answered=False), ""
        except Gone:
            self._reopen()
            return Answer("gone", is_answered=False), Harm.CHANGED
        if told.error and told.error[0] in SPENT:
            return Answer("too long", is_answered=False), ""
        return Answer(str(told).replace(self._server.bare, "shop"), told.error is None), ""  # errors name it

    def harm(self) -> str:
        """Return what was done since this was asked last, and put it right."""
        try:
            is_free = self._session.done(_FREE) == [["0", "0"]]
            is_same = self._state() == self._kept
        except (Gone, Over):
            is_free = is_same = False
        if is_free and is_same:
            return ""
        self._session.close()
        self._server.make_bare()
        self._open()
        self._kept = self._state()
        return Harm.CHANGED if is_free else Harm.HOLDS

    def close(self) -> None:
        self._session.close()
        self._watch.close()

    def _state(self) -> str:
        return f"{self._session.ask(SESSION)} {fingerprint(self._watch, self._server.bare)}"

    def _limit(self, seconds: float) -> None:
        self._session.done(f"SET SESSION max_statement_time = {seconds}")

    def _reopen(self) -> None:
        self._session.close()
        self._watch.ask(f"KILL {self._session.number}")
        self._open()

    def _open(self) -> None:
        self._session = self._server.connect(self._server.bare)
        self._limit(BARE_S)


_FREE: Final = "SELECT @@in_transaction, RELEASE_ALL_LOCKS()"


@final
class MysqlPair(ServerTwins[MysqlGround]):
    """The twins on MariaDB."""

    engine: SqlEngine = "mysql"

    def __init__(self, grounds: Sequence[MysqlGround], servers: Sequence[ShopServer]) -> None:
        """Ask confined on the grounds, and bare on the servers: of the twins, and of the first reordered."""
        *bare, last = [_Bare(server) for server in servers]
        super().__init__(grounds, bare, last)

    def confined(self, proven: Sequence[Proven], text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run what the gate let through on the executor of each twin."""
        if seconds != BARE_S:
            for ground in self._grounds:
                ground.forget()
        return super().confined(proven, text, seconds)


@contextmanager
def mysql_pair(administrator: str) -> Iterator[Pair]:
    """Make the twins on the server that an administrator's dsn leads to, and take them back at the end."""
    with ExitStack() as stack:
        grounds = [stack.enter_context(mysql_ground(administrator, tables)) for tables in twins()]
        bare = bare_twins()
        servers = [ShopServer(administrator, tables) for tables in (*bare, reordered(bare[0]))]
        for server in servers:
            stack.callback(server.drop, server.bare)
        yield stack.enter_context(closing(MysqlPair(grounds, servers)))
