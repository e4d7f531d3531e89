"""Whose code would run as a tool's login? That which tables bring along, from policies to the casts of their columns.

A view's reader runs the functions that it is made of with their own rights, whatever schema they are in; so does who
plans a query those in a table's indexes, checks, statistics and partition keys, where their arguments are constants.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sandbox.doctor.inspection import Finding, Inspection
from sandbox.executors.postgres_shape import VIEWS_OWNER

_CODE: Final = """
WITH RECURSIVE read (relation) AS (
  SELECT c.oid FROM pg_class AS c WHERE c.relowner = to_regrole(%(owner)s) OR EXISTS (SELECT FROM (
    SELECT c.relacl AS acl UNION ALL SELECT t.attacl FROM pg_attribute AS t WHERE t.attrelid = c.oid
  ) AS o, aclexplode(o.acl) AS a WHERE a.grantee = to_regrole(%(owner)s))
  UNION
  SELECT x.relation FROM read CROSS JOIN LATERAL (
    SELECT d.refobjid FROM (
      SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite AS r WHERE r.ev_class = read.relation
      UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy AS p WHERE p.polrelid = read.relation
    ) AS y (catalogue, id) JOIN pg_depend AS d ON d.classid = y.catalogue AND d.objid = y.id
      AND d.refclassid = 'pg_class'::regclass
    UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = read.relation
  ) AS x (relation)
), part (relation, catalogue, id) AS (
  SELECT p.polrelid, 'pg_policy'::regclass, p.oid FROM read JOIN pg_policy AS p ON p.polrelid = read.relation
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid FROM read
    JOIN pg_rewrite AS r ON r.ev_class = read.relation
  UNION ALL SELECT x.adrelid, 'pg_attrdef'::regclass, x.oid FROM read JOIN pg_attrdef AS x ON x.adrelid = read.relation
    JOIN pg_attribute AS t ON t.attrelid = x.adrelid AND t.attnum = x.adnum AND t.attgenerated <> ''
  UNION ALL SELECT i.indrelid, 'pg_class'::regclass, i.indexrelid FROM read
    JOIN pg_index AS i ON i.indrelid = read.relation
  UNION ALL SELECT c.conrelid, 'pg_constraint'::regclass, c.oid FROM read
    JOIN pg_constraint AS c ON c.conrelid = read.relation
  UNION ALL SELECT s.stxrelid, 'pg_statistic_ext'::regclass, s.oid FROM read
    JOIN pg_statistic_ext AS s ON s.stxrelid = read.relation
  UNION ALL SELECT k.partrelid, 'pg_class'::regclass, k.partrelid FROM read
    JOIN pg_partitioned_table AS k ON k.partrelid = read.relation
  UNION ALL SELECT t.attrelid, 'pg_cast'::regclass, c.oid FROM read
    JOIN pg_attribute AS t ON t.attrelid = read.relation AND t.attnum > 0 AND NOT t.attisdropped
    JOIN pg_type AS y ON y.oid = t.atttypid
    JOIN pg_cast AS c ON c.castsource IN (y.oid, y.typelem, y.typbasetype)
      OR c.casttarget IN (y.oid, y.typelem, y.typbasetype)
    JOIN pg_proc AS p ON p.oid = c.castfunc
    JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname NOT IN ('c', 'internal')
)
SELECT DISTINCT part.relation::regclass::text, pg_describe_object(d.refclassid, d.refobjid, 0),
  w.owner IN (SELECT oid FROM pg_roles WHERE rolsuper UNION
    SELECT datdba FROM pg_database WHERE datname = current_database())
  OR NOT EXISTS (SELECT FROM read JOIN pg_class AS c ON c.oid = read.relation WHERE c.oid >= 16384
    AND c.relowner::regrole::text <> ALL (%(ours)s) AND NOT pg_has_role(w.owner, c.relowner, 'USAGE'))
FROM part JOIN pg_depend AS d ON d.classid = part.catalogue AND d.objid = part.id
  LEFT JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  LEFT JOIN pg_type AS y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid
  CROSS JOIN LATERAL (VALUES (coalesce(p.proowner, o.oprowner, y.typowner))) AS w (owner)
WHERE d.refobjid >= 16384
  AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass)
    OR y.typtype = 'd' AND part.id <> part.relation)
  AND (SELECT c.relowner::regrole::text FROM pg_class AS c WHERE c.oid = part.relation) <> ALL (%(ours)s)
ORDER BY 1, 2
"""
"""From what our views read, and their owner was granted, through views, policies and children, to all that is not the
server's: functions, operators, casts, and domains, whose checks are functions (not those of columns, which are not
checked again as they are read). Casts in C come with extensions, for only a superuser makes such."""


def check_code(look: Inspection) -> Iterator[Finding]:
    """Find tables of which reading, or planning to read, calls what somebody made."""
    if VIEWS_OWNER not in look.present:
        return
    for relation, called, is_trusted in look.ask(_CODE, owner=VIEWS_OWNER, ours=look.owners):
        message = f"{relation} has every reader run {called} with the reader's rights, so tools' logins run it"
        mend = f"-- take {called} out of {relation}, or the tools that read it out of toolspecs/"
        # Who administers the database, or owns all that tools read, gains nothing; others would read by it what the
        # tool's login may.
        yield Finding("code-of-tables", message, mend, "warning" if is_trusted else "error")
