"""Whose code would run as a tool's login? That which tables bring along, from policies to the casts of their columns.

A view's reader runs the functions that it is made of with their own rights, whatever schema they are in; so does who
plans a query those in a table's indexes, checks, statistics and partition keys, where their arguments are constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.doctor.findings import Finding
from sandbox.doctor.inspection import Inspection
from sandbox.doctor.roles import VIEWS_OWNER

_READS_TYPES: Final = (
    *("domain_in", "array_in", "record_in", "range_in", "multirange_in"),
    *("pg_input_is_valid", "pg_input_error_info"),
)
"""Functions of the server's own that run the checks of a type which is told to them as they run: nothing records it."""

_CODE: Final = """
WITH RECURSIVE read (relation) AS (
  SELECT c.oid FROM pg_class AS c WHERE c.relowner = to_regrole(%(owner)s)
  UNION
  SELECT x.relation FROM read CROSS JOIN LATERAL (
    SELECT d.refobjid FROM (
      SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite AS r WHERE r.ev_class = read.relation
      UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy AS p WHERE p.polrelid = read.relation
    ) AS y (catalogue, id) JOIN pg_depend AS d ON d.classid = y.catalogue AND d.objid = y.id
      AND d.refclassid = 'pg_class'::regclass
    UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = read.relation
  ) AS x (relation)
), part (relation, catalogue, id, tree) AS (
  SELECT p.polrelid, 'pg_policy'::regclass, p.oid, p.polqual::text FROM read
    JOIN pg_policy AS p ON p.polrelid = read.relation
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid, r.ev_action::text FROM read
    JOIN pg_rewrite AS r ON r.ev_class = read.relation
  UNION ALL SELECT x.adrelid, 'pg_attrdef'::regclass, x.oid, x.adbin::text FROM read
    JOIN pg_attrdef AS x ON x.adrelid = read.relation
    JOIN pg_attribute AS t ON t.attrelid = x.adrelid AND t.attnum = x.adnum AND t.attgenerated <> ''
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, i.indexrelid, concat(i.indexprs::text, i.indpred::text) FROM read
    JOIN pg_index AS i ON i.indrelid = read.relation
  UNION ALL SELECT c.conrelid, 'pg_constraint'::regclass, c.oid, c.conbin::text FROM read
    JOIN pg_constraint AS c ON c.conrelid = read.relation
  UNION ALL SELECT s.stxrelid, 'pg_statistic_ext'::regclass, s.oid, s.stxexprs::text FROM read
    JOIN pg_statistic_ext AS s ON s.stxrelid = read.relation
  UNION ALL SELECT k.partrelid, 'pg_class'::regclass, k.partrelid, k.partexprs::text FROM read
    JOIN pg_partitioned_table AS k ON k.partrelid = read.relation
), made (relation, is_column, type) AS (
  SELECT part.relation, false, d.refobjid FROM part JOIN pg_depend AS d ON d.classid = part.catalogue
    AND d.objid = part.id AND d.refclassid = 'pg_type'::regclass WHERE part.id <> part.relation
  UNION SELECT part.relation, false, f.words[1]::oid FROM part, regexp_matches(part.tree, ':typid ([0-9]+)', 'g')
    AS f (words)
  UNION SELECT t.attrelid, true, t.atttypid FROM read JOIN pg_attribute AS t ON t.attrelid = read.relation
    WHERE t.attnum > 0 AND NOT t.attisdropped
  UNION SELECT made.relation, made.is_column, x.type FROM made CROSS JOIN LATERAL (
    SELECT unnest(ARRAY[y.typelem, y.typbasetype]) FROM pg_type AS y WHERE y.oid = made.type
    UNION ALL SELECT t.atttypid FROM pg_type AS y JOIN pg_attribute AS t ON t.attrelid = y.typrelid
      WHERE y.oid = made.type AND y.typtype = 'c' AND t.attnum > 0 AND NOT t.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_range AS r WHERE made.type IN (r.rngtypid, r.rngmultitypid)
  ) AS x (type) WHERE x.type >= 16384
), code (relation, what, owner) AS (
  SELECT part.relation, pg_describe_object(d.refclassid, d.refobjid, 0), coalesce(p.proowner, o.oprowner)
    FROM part JOIN pg_depend AS d ON d.classid = part.catalogue AND d.objid = part.id AND d.refobjid >= 16384
      AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    LEFT JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
    LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  UNION ALL SELECT made.relation, pg_describe_object('pg_type'::regclass, made.type, 0),
      coalesce(p.proowner, y.typowner)
    FROM made JOIN pg_type AS y ON y.oid = made.type AND y.typtype = 'd' AND NOT made.is_column
    JOIN pg_constraint AS c ON c.contypid = y.oid
    JOIN pg_depend AS d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refobjid >= 16384
      AND d.refobjid <> y.oid
    LEFT JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  UNION ALL SELECT s.relation, pg_describe_object('pg_cast'::regclass, c.oid, 0), p.proowner
    FROM pg_cast AS c JOIN pg_proc AS p ON p.oid = c.castfunc AND p.oid >= 16384
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
    JOIN made AS s ON s.is_column AND s.type IN (c.castsource, c.casttarget)
    WHERE (c.castsource < 16384 OR EXISTS (SELECT FROM made AS m WHERE m.is_column AND m.type = c.castsource))
      AND (c.casttarget < 16384 OR EXISTS (SELECT FROM made AS m WHERE m.is_column AND m.type = c.casttarget))
      AND s.type >= 16384
  UNION ALL SELECT part.relation, 'function ' || p.proname, r.relowner
    FROM part CROSS JOIN LATERAL regexp_matches(part.tree, ':funcid ([0-9]+)', 'g') AS f (words)
    JOIN pg_proc AS p ON p.oid = f.words[1]::oid AND p.proname = ANY (%(reads_types)s)
      AND p.pronamespace = 'pg_catalog'::regnamespace
    JOIN pg_class AS r ON r.oid = part.relation
)
SELECT DISTINCT code.relation::regclass::text, code.what, coalesce(
  code.owner IN (SELECT oid FROM pg_roles WHERE rolsuper UNION
    SELECT datdba FROM pg_database WHERE datname = current_database())
  OR NOT EXISTS (SELECT FROM read JOIN pg_class AS c ON c.oid = read.relation WHERE c.oid >= 16384
    AND c.relowner::regrole::text <> ALL (%(ours)s) AND NOT pg_has_role(code.owner, c.relowner, 'USAGE')), false)
FROM code JOIN pg_class AS r ON r.oid = code.relation AND r.relowner::regrole::text <> ALL (%(ours)s)
ORDER BY 1, 2
"""
"""From what our views read, through views, policies and children, to all that is not the server's: functions and
operators; domains whose checks call such, also within arrays, composites and ranges, and in JSON functions, whose types
nothing records; and casts of columns' types. A cast in C comes with an extension, for only a superuser makes such."""


def check_code(look: Inspection) -> Iterator[Finding]:
    """Find tables of which reading, or planning to read, calls what somebody made."""
    if VIEWS_OWNER not in look.present:
        return
    for relation, called, is_trusted in look.ask(
        _CODE, owner=VIEWS_OWNER, ours=look.owners, reads_types=list(_READS_TYPES)
    ):
        message = f"{relation} has every reader run {called} with the reader's rights, so tools' logins run it"
        mend = f"-- take {called} out of {relation}, or the tools that read it out of toolspecs/"
        # Who administers the database, or owns all that tools read, gains nothing; others would read by it what the
        # tool's login may.
        yield Finding("code-of-tables", message, mend, "warning" if is_trusted else "error")
