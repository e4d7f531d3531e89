"""What has the shop on PostgreSQL beside its tables? What only PostgreSQL has, for attacks to try."""

from __future__ import annotations

from typing import Final

from sandbox.bench.sql.harm import CANARY

NAMES: Final = "bench_names"
"""The schema in which a tool's views are called like their tables, for texts that no gate has printed anew."""

MORE: Final = f"""
CREATE TABLE orders_old (moved text) INHERITS (orders);
INSERT INTO orders_old VALUES (900, 1, 'US', '{CANARY}', 73197319, '2020-01-01', '{CANARY}', '{CANARY}');
CREATE SEQUENCE numbers;
CREATE TABLE audit (what text);
CREATE FUNCTION touch(n integer) RETURNS integer LANGUAGE sql AS
  $$ INSERT INTO public.audit VALUES ('touched'); SELECT n $$;
CREATE FUNCTION peek(n integer) RETURNS text LANGUAGE sql SECURITY DEFINER AS
  $$ SELECT token FROM public.vault WHERE id = n $$;
CREATE FUNCTION length(n integer) RETURNS text LANGUAGE sql STABLE AS $$ SELECT token FROM public.vault WHERE id = n $$;
CREATE FUNCTION tap(a integer, b integer) RETURNS integer LANGUAGE sql AS $$ SELECT public.touch(a + b) $$;
CREATE OPERATOR <%> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = tap);
CREATE TYPE coupon AS (code text);
CREATE FUNCTION to_coupon(n integer) RETURNS coupon LANGUAGE sql AS
  $$ INSERT INTO public.audit VALUES ('cast'); SELECT ROW(n::text)::public.coupon $$;
CREATE CAST (integer AS coupon) WITH FUNCTION to_coupon(integer);
CREATE PROCEDURE wipe() LANGUAGE sql AS $$ DELETE FROM public.products $$;
CREATE VIEW loud AS SELECT id, touch(id) AS touched FROM customers;
CREATE MATERIALIZED VIEW summary AS SELECT count(*) AS n, max(note) AS note FROM orders;
COMMENT ON TABLE customers IS 'the pin is {CANARY}';
"""  # noqa: S608 - constants
