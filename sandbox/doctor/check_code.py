"""Whose code would run as a tool's login? That which tables bring along: policies, rules and computed columns.

A view's reader runs the functions that it is made of with their own rights, whatever schema they are in.
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
  SELECT d.refobjid FROM read CROSS JOIN LATERAL (
    SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite AS r WHERE r.ev_class = read.relation
    UNION ALL SELECT 'pg_policy'::regclass, p.oid FROM pg_policy AS p WHERE p.polrelid = read.relation
  ) AS x (catalogue, id) JOIN pg_depend AS d ON d.classid = x.catalogue AND d.objid = x.id
    AND d.refclassid = 'pg_class'::regclass
), part (relation, catalogue, id) AS (
  SELECT p.polrelid, 'pg_policy'::regclass, p.oid FROM read JOIN pg_policy AS p ON p.polrelid = read.relation
  UNION ALL SELECT r.ev_class, 'pg_rewrite'::regclass, r.oid FROM read
    JOIN pg_rewrite AS r ON r.ev_class = read.relation
  UNION ALL SELECT x.adrelid, 'pg_attrdef'::regclass, x.oid FROM read JOIN pg_attrdef AS x ON x.adrelid = read.relation
    JOIN pg_attribute AS t ON t.attrelid = x.adrelid AND t.attnum = x.adnum AND t.attgenerated <> ''
)
SELECT DISTINCT part.relation::regclass::text, pg_describe_object(d.refclassid, d.refobjid, 0),
  coalesce(p.proowner, o.oprowner, y.typowner) IN (SELECT oid FROM pg_roles WHERE rolsuper UNION
    SELECT datdba FROM pg_database WHERE datname = current_database())
FROM part JOIN pg_depend AS d ON d.classid = part.catalogue AND d.objid = part.id
  LEFT JOIN pg_proc AS p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
  LEFT JOIN pg_operator AS o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  LEFT JOIN pg_type AS y ON d.refclassid = 'pg_type'::regclass AND y.oid = d.refobjid
WHERE d.refobjid >= 16384
  AND (d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass) OR y.typtype = 'd')
  AND (SELECT c.relowner::regrole::text FROM pg_class AS c WHERE c.oid = part.relation) <> ALL (%(ours)s)
ORDER BY 1, 2
"""
"""From what our views read, and their owner was granted, through views and policies, to all that is not the server's:
functions, operators, casts, and domains, whose checks are functions."""


def check_code(look: Inspection) -> Iterator[Finding]:
    """Find tables whose policies, rules or computed columns call what somebody made."""
    if VIEWS_OWNER not in look.present:
        return
    for relation, called, is_administrators in look.ask(_CODE, owner=VIEWS_OWNER, ours=look.owners):
        message = f"{relation} has every reader run {called} with the reader's rights, so tools' logins run it"
        mend = f"-- take {called} out of {relation}, or the tools that read it out of toolspecs/"
        # The administrators of a database are trusted; others would read by it what its tool's login may.
        yield Finding("code-of-tables", message, mend, "warning" if is_administrators else "error")
