"""Does the doctor find whose code runs as a tool's login, whatever way it takes there?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_cast import BYSTANDER, PROBE, Ledger, ledger_set_up


@pytest.fixture(scope="module", params=[18, 15])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger that is set up; each test leaves it so."""
    with ledger_set_up(request.param) as made:
        yield made


SPY = (
    "CREATE FUNCTION sales.spy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;"
    "CREATE FUNCTION sales.checked(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;"
    "CREATE FUNCTION sales.spied(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$"
)
SEEN, PARTS = PROBE.format("sales.seen"), PROBE.format("sales.parts")
TOLD = (
    " CREATE FUNCTION sales.told(sales.mood) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN 1; END $$;"
    " CREATE CAST (sales.mood AS text) WITH FUNCTION sales.told(sales.mood) AS IMPLICIT;"
)
TYPES = (
    "CREATE DOMAIN sales.odd AS int CHECK (sales.checked(VALUE)); CREATE TYPE sales.pair AS (f sales.odd);"
    " CREATE TYPE sales.span AS RANGE (subtype = sales.odd); CREATE DOMAIN sales.odder AS sales.odd[];"
)
WITHIN = {
    "array of a domain": "(('{' || id || '}')::sales.odd[])[1] AS code",
    "domain of an array": "('{' || id || '}')::sales.odder AS code",
    "composite": "(('(' || id || ')')::sales.pair).f AS code",
    "JSON record": "(json_populate_record(NULL::sales.pair, json_build_object('f', id))).f AS code",
    "range": "lower(('[' || id || ',)')::sales.span) AS code",
    "multirange": "('{[' || id || ',)}')::sales.span_multirange AS code",
    "told as it runs": "domain_in(id::text::cstring, (1 || '')::oid, -1) IS NULL AS code",
    "told as text": "pg_input_is_valid(id::text, 'sales.odd') AS code",
    "JSON value": "JSON_VALUE(to_jsonb(id), '$' RETURNING sales.odd) AS code",
}
"""What a view selects, whose type's check runs what somebody made."""
OF_OTHERS = {
    "policy": "ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY code ON public.orders FOR SELECT TO PUBLIC USING ((SELECT sales.spy()))",
    "computed column": "CREATE FUNCTION sales.twice(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';"
    " ALTER TABLE public.orders ADD COLUMN code bigint GENERATED ALWAYS AS (sales.twice(1)) STORED",
    "view": "CREATE VIEW sales.seen AS SELECT sales.spy() AS code;" + SEEN,
    "view in a policy": "CREATE VIEW sales.seen AS SELECT sales.spy() AS code;"
    " ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY code ON public.orders FOR SELECT TO PUBLIC USING (EXISTS (SELECT FROM sales.seen))",
    "domain in a policy": "CREATE DOMAIN sales.odd AS int CHECK (sales.spy());"
    " ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY code ON public.orders FOR SELECT TO PUBLIC USING (1::sales.odd IS NOT NULL)",
    "public instead of by name": "GRANT SELECT ON public.orders TO PUBLIC;"
    " REVOKE SELECT ON public.orders FROM sandbox_views;"
    " ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;"
    " CREATE POLICY code ON public.orders FOR SELECT TO PUBLIC USING (sales.spy())",
    "index": "CREATE INDEX code ON public.orders ((sales.spied('x')))",
    "part of an index": "CREATE INDEX code ON public.orders (id) WHERE sales.spied('x')",
    "check": "ALTER TABLE public.orders ADD CONSTRAINT code CHECK (sales.spied('x'))",
    "statistics": "CREATE STATISTICS public.code ON (sales.spied('x')), id FROM public.orders",
    "partition key": "CREATE TABLE sales.parts (id bigint) PARTITION BY LIST ((id > 0 AND sales.spied('x')));" + PARTS,
    "partition": "CREATE TABLE sales.parts (id bigint) PARTITION BY LIST (id);"
    " CREATE TABLE sales.part PARTITION OF sales.parts DEFAULT; CREATE INDEX code ON sales.part ((sales.spied('x')));"
    + PARTS,
    "cast of a column": "CREATE TYPE sales.mood AS ENUM ('a'); CREATE TABLE sales.parts (mood sales.mood[]);"
    + TOLD
    + PARTS,
    "cast below two domains": "CREATE TYPE sales.mood AS ENUM ('a'); CREATE DOMAIN sales.one AS sales.mood;"
    " CREATE DOMAIN sales.two AS sales.one; CREATE TABLE sales.parts (mood sales.two);" + TOLD + PARTS,
    "cast below a range": "CREATE TYPE sales.mood AS ENUM ('a');"
    " CREATE TYPE sales.moods AS RANGE (subtype = sales.mood); CREATE TABLE sales.parts (moods sales.moods);"
    + TOLD
    + PARTS,
    "policy by a composite": TYPES + " ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY code ON"
    " public.orders FOR SELECT TO PUBLIC USING ((json_populate_record(NULL::sales.pair, '{}')).f IS NULL)",
    "view of a view": "CREATE VIEW sales.most AS SELECT sales.spy() AS code;"
    " CREATE VIEW sales.seen AS SELECT * FROM sales.most;" + SEEN,
}


AWAY = (
    "DROP POLICY IF EXISTS code ON public.orders; ALTER TABLE public.orders DISABLE ROW LEVEL SECURITY;"
    "ALTER TABLE public.orders DROP CONSTRAINT IF EXISTS code; DROP STATISTICS IF EXISTS public.code;"
    "DROP VIEW IF EXISTS sales.probe, sales.seen, sales.most; DROP TABLE IF EXISTS sales.parts;"
    "DROP INDEX IF EXISTS public.code; ALTER TABLE public.orders DROP COLUMN IF EXISTS code;"
    "DROP TYPE IF EXISTS sales.moods, sales.mood, sales.pair, sales.span CASCADE;"
    "DROP DOMAIN IF EXISTS sales.odder, sales.odd CASCADE;"
    "DROP FUNCTION IF EXISTS sales.spy(), sales.spied(text), sales.checked(int), sales.twice(bigint);"
    "REVOKE SELECT ON public.orders FROM PUBLIC"
)


def of_code(ledger: Ledger, statements: str, whose: str) -> set[tuple[str, str]]:
    """Return what is found of statements whose functions, domains and views of the schema `sales` are `whose`."""
    ledger.run(f"{SPY}; {statements}")
    ledger.run(
        "DO $$ DECLARE one text; BEGIN FOR one IN"
        " SELECT 'FUNCTION ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'sales'::regnamespace"
        " UNION ALL SELECT 'DOMAIN ' || oid::regtype FROM pg_type"
        "   WHERE typnamespace = 'sales'::regnamespace AND typtype = 'd'"
        " UNION ALL SELECT 'VIEW ' || oid::regclass FROM pg_class"
        "   WHERE relnamespace = 'sales'::regnamespace AND relkind = 'v' AND relname <> 'probe'"
        f" LOOP EXECUTE format('ALTER %s OWNER TO {whose}', one); END LOOP; END $$"
    )
    try:
        return {(finding.check, finding.level) for finding in ledger.findings()}
    finally:
        ledger.run(AWAY)
        ledger.run(ledger.script())
        assert ledger.findings() == ()


@pytest.mark.requirement("doctor:checks:code")
@pytest.mark.parametrize("way", OF_OTHERS)
@pytest.mark.parametrize(("whose", "level"), [(BYSTANDER, "error"), ("owner", "warning")])
def test_code_that_a_table_has_its_readers_run_is_found(ledger: Ledger, way: str, whose: str, level: str) -> None:
    """The attack: the owner of one table in a ceiling runs code as the tool's login, and reads other tables by it."""
    assert ("code-of-tables", level) in of_code(ledger, OF_OTHERS[way], whose)


@pytest.mark.requirement("doctor:checks:code")
@pytest.mark.parametrize("way", WITHIN)
@pytest.mark.parametrize("ledger", [18], indirect=True)
def test_code_that_a_type_runs_is_found_however_it_is_named(ledger: Ledger, way: str) -> None:
    """The attack: a check of a domain, within a type or in a place that PostgreSQL does not record."""
    seen = f"{TYPES} CREATE VIEW sales.seen AS SELECT {WITHIN[way]} FROM public.orders; {SEEN}"
    assert ("code-of-tables", "error") in of_code(ledger, seen, BYSTANDER)


@pytest.mark.requirement("doctor:checks:code")
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE CAST (sales.mood AS text) WITH FUNCTION sales.told(sales.mood)",
        "CREATE CAST (sales.mood AS bigint) WITH FUNCTION sales.counted(sales.mood) AS IMPLICIT",
    ],
)
def test_casts_that_no_column_s_type_leads_to_are_nobody_s_business(ledger: Ledger, statement: str) -> None:
    """The attack: any user of the database stops every tool with one cast; honest ones have such."""
    made = (
        "CREATE TYPE sales.mood AS ENUM ('a');"
        " CREATE FUNCTION sales.told(sales.mood) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x''::text';"
        " CREATE FUNCTION sales.counted(sales.mood) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';"
        f" {statement}"
    )
    assert of_code(ledger, made, BYSTANDER) == set()


@pytest.mark.requirement("doctor:checks:code")
@pytest.mark.parametrize("ledger", [18], indirect=True)
def test_code_of_who_owns_all_that_tools_read_is_a_warning(ledger: Ledger) -> None:
    tables = ("public.orders", "public.customers", "sales.targets")
    given = ";".join(f"ALTER TABLE {table} OWNER TO app" for table in tables)
    ledger.run(f"CREATE ROLE app; {given}; {SPY}; {OF_OTHERS['index']}; ALTER FUNCTION sales.spied(text) OWNER TO app")
    try:
        ledger.run(ledger.script())
        assert {(finding.check, finding.level) for finding in ledger.findings()} == {("code-of-tables", "warning")}
        ledger.run("ALTER TABLE sales.targets OWNER TO owner")
        assert ("code-of-tables", "error") in {(finding.check, finding.level) for finding in ledger.findings()}
    finally:
        ledger.run(
            "DROP INDEX public.code; DROP FUNCTION sales.spy(), sales.spied(text); REASSIGN OWNED BY app TO owner"
        )
        ledger.run(ledger.script())
        ledger.run("DROP OWNED BY app; DROP ROLE app")
    assert ledger.findings() == ()
