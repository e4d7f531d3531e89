"""Which statements does the SQL fuzzer make up? Queries over the shop, of an engine's grammar, most of them permitted.

Each has a spice, often none: how likely a part of it reaches for what may not be had.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from fuzz_sql_words import AGGREGATES, BAD, FORBIDDEN, GOOD, HIDDEN, JOINS, KINDS, NAMESAKES, WINDOWS, Words

_SYMBOL: Final = re.compile(r"<(\w+)(?: (\w))?>")
_PART: Final = re.compile(r"\{(items|from|where|end)\}")
_SPICES: Final = (0.0, 0.0, 0.0, 0.0, 0.01, 0.03, 0.1)
_MOST_DEPTH: Final = 4
_NAMES: Final = ("a", "b", "c", "x", "o", "t1", "orders", "vault", "Ω")


@final
@dataclass(frozen=True, slots=True)
class _Source:
    """What a query reads: its name, its columns and their kinds, and the hidden ones."""

    name: str
    columns: Sequence[tuple[str, str]]
    hidden: Sequence[str]


_Scope = tuple[_Source, ...]


@final
class Grammar:
    """Makes one statement of a seeded chance."""

    def __init__(self, words: Words, chance: random.Random) -> None:
        """Make it with the words of an engine."""
        self._words = words
        self._chance = chance
        self._spice = chance.choice(_SPICES)
        self._ctes: list[_Source] = []
        self._made = 0

    def statement(self) -> str:
        """Return one statement, or what looks like one."""
        if self._is_spicy():
            return self._filled(self._pick("statement", is_bad=True), (), 1)
        text, _ = self._whole_query((), self._chance.randrange(1, _MOST_DEPTH))
        if self._is_spicy():
            text = f"{text} {self._filled(self._pick('tail', is_bad=True), (), 1)}"
        return text

    def _is_spicy(self, times: float = 1.0) -> bool:
        return self._chance.random() < self._spice * times

    def _one_in(self, count: int) -> bool:
        return self._chance.randrange(count) == 0

    def _pick(self, symbol: str, *, is_bad: bool = False) -> str:
        if is_bad:
            found = (*BAD.get(symbol, ()), *self._words.bad.get(symbol, ()))
            if found:
                return self._chance.choice(found)
        return self._had((*GOOD.get(symbol, ()), *self._words.good.get(symbol, ())))

    def _had(self, texts: Sequence[str]) -> str:
        """Return one that the engine has."""
        while True:
            text = self._chance.choice(texts)
            if not any(part in text for part in self._words.without):
                return text

    def _filled(self, production: str, scope: _Scope, depth: int) -> str:
        return _SYMBOL.sub(lambda found: self._symbol(found[1], found[2] or "n", scope, depth), production)

    def _symbol(self, name: str, kind: str, scope: _Scope, depth: int) -> str:  # noqa: PLR0911 - one a symbol
        match name:
            case "n" | "t" | "d" | "j" | "b":
                return self._value(name, scope, depth - 1)
            case "scalar":
                return f"({self._scalar(kind, scope, depth - 1)})"
            case "one":
                return self._select(scope, depth - 1, [kind])[0]
            case "query":
                return self._query(scope, depth - 1)[0]
            case "table":
                return self._chance.choice(list(KINDS))
            case "bad":
                return self._chance.choice(FORBIDDEN)
            case "hidden":
                return self._hidden(scope)
            case "w":
                return self._window(scope, depth - 1)
            case "namesake":
                return self._namesake(scope)
            case _:
                return self._pick(name)

    def _value(self, kind: str, scope: _Scope, depth: int) -> str:
        if kind != "b" and not self._is_spicy():
            column = self._column(kind, scope)
            if column and (depth <= 0 or self._chance.random() < 0.55):
                return column
        if depth <= 0 and kind != "b":
            return self._pick({"n": "int", "t": "str", "d": "day", "j": "doc"}[kind])
        production = self._pick(kind, is_bad=self._is_spicy())
        if depth <= 0 and _SYMBOL.search(production):
            production = "<n> > <int>" if kind == "b" else production
        return self._filled(production, scope, depth)

    def _column(self, kind: str, scope: _Scope, *, is_full: bool = False) -> str:
        found = [(source, name) for source in scope for name, of in source.columns if of == kind]
        if not found:
            return ""
        source, name = self._chance.choice(found)
        is_plain = not source.name or (len(scope) == 1 and not is_full and not self._one_in(3)) or self._one_in(20)
        return name if is_plain else f"{source.name}.{name}"

    def _hidden(self, scope: _Scope) -> str:
        found = [(source, name) for source in scope for name in source.hidden]
        if not found or self._one_in(8):
            return self._chance.choice(("note", "ssn", "cost", "payload", "tip", "token", "rowid", "canary7319"))
        source, name = self._chance.choice(found)
        return self._chance.choice((name, f"{source.name}.{name}", f"{source.name}.{name}"))

    def _namesake(self, scope: _Scope) -> str:
        """Return a query for one value, of a column that may be called like one of the queries around."""
        columns = [name for source in scope for name, _ in source.columns]
        hidden = [name for source in scope for name in source.hidden]
        return self._query_of_namesake(self._chance.choice((*hidden, *hidden, *columns, "id")))

    def _query_of_namesake(self, name: str) -> str:
        item = self._expression_of(name)
        inner = f"SELECT {item} FROM (SELECT 1 AS {name}) x"  # noqa: S608 - for the gate
        asked = self._chance.choice((name, name, f"s.{name}"))
        return f"(SELECT {asked} FROM ({inner}) s LIMIT 1)"  # noqa: S608 - for the gate

    def _expression_of(self, name: str) -> str:
        return self._chance.choice((*NAMESAKES, *self._words.namesakes)).format(name)

    def _by_another_name(self) -> str:
        """Return a query that reaches for what may not be read under a name that is something else here."""
        table = self._chance.choice(list(HIDDEN))
        name = self._chance.choice(HIDDEN[table])
        item = self._expression_of(name).replace("x.", self._chance.choice(("", f"{table}.")))
        match self._chance.randrange(6):
            case 0:
                return f"SELECT id AS {name} FROM {table} ORDER BY {item}, 1"  # noqa: S608 - for the gate
            case 1:
                return f"SELECT sum({item}) FROM {table} HAVING count({name}) >= 5"  # noqa: S608 - for the gate
            case 2:
                value = self._chance.choice(("73197319", "3014", "'canary7319'", "NULL"))
                item = self._expression_of(name)
                other = f"(SELECT {item} FROM (SELECT {value} AS {name}) x) q"  # noqa: S608 - for the gate
                sides = self._chance.choice(((table, other), (other, table), (f"(SELECT * FROM {table}) t", other)))  # noqa: S608 - for the gate
                return f"SELECT count(*) FROM {sides[0]} NATURAL JOIN {sides[1]}"  # noqa: S608 - for the gate
            case 3:
                end = self._chance.choice(
                    (f"LIMIT {item}", f"OFFSET {item}", f"ORDER BY v0, {item}", f"ORDER BY v0 * {item}")
                )
                both = f"SELECT 1 AS v0 FROM (SELECT 3 AS {name}) x UNION ALL SELECT 2 {end}"  # noqa: S608 - for the gate
                return f"SELECT id, (SELECT min(q.v0) + count(*) FROM ({both}) q) AS v1 FROM {table}"  # noqa: S608 - for the gate
            case _:
                return f"SELECT id, {self._query_of_namesake(name)} AS v0 FROM {table} ORDER BY id"  # noqa: S608 - for the gate

    def _whole_query(self, scope: _Scope, depth: int) -> tuple[str, list[tuple[str, str]]]:
        if self._one_in(9):
            return self._aggregates_alone(scope, depth), [("n", "n")]
        if self._one_in(20):
            return self._by_another_name(), [("id", "n")]
        if not self._one_in(4):
            return self._query(scope, depth)
        parts, before = [], len(self._ctes)
        for _ in range(self._chance.choice((1, 1, 2))):
            name = self._name()
            if self._one_in(5):
                step = self._chance.choice(("+ 1", "* 2"))
                most = self._chance.choice((5, 30))
                body = f"SELECT 1 UNION ALL SELECT value {step} FROM {name} WHERE value < {most}"  # noqa: S608 - for the gate
                parts.append(f"{name}(value) AS ({body})")
                self._ctes.append(_Source(name, [("value", "n")], ()))
            else:
                body, columns = self._query(scope, depth - 1)
                hint = self._had(("AS", "AS", "AS MATERIALIZED", "AS NOT MATERIALIZED"))
                parts.append(f"{name} {hint} ({body})")
                self._ctes.append(_Source(name, columns, ()))
        text, columns = self._query(scope, depth)
        del self._ctes[before:]
        recursive = "RECURSIVE " if "(value)" in "".join(parts) or self._one_in(5) else ""
        return f"WITH {recursive}{', '.join(parts)} {text}", columns

    def _query(self, scope: _Scope, depth: int) -> tuple[str, list[tuple[str, str]]]:
        if depth <= 0 or not self._one_in(7):
            return self._select(scope, depth)
        text, columns = self._select(scope, depth, is_part=True)
        if kinds := [kind for _, kind in columns]:
            for _ in range(self._chance.choice((1, 1, 2))):
                operator = self._chance.choice(("UNION", "UNION ALL", "EXCEPT", "INTERSECT"))
                text = f"{text} {operator} {self._select(scope, depth - 1, kinds, is_part=True)[0]}"
            if self._one_in(2):
                text = f"{text} ORDER BY {self._chance.randrange(len(kinds)) + 1}"
        return text, columns

    def _select(
        self, outer: _Scope, depth: int, kinds: Sequence[str] | None = None, *, is_part: bool = False
    ) -> tuple[str, list[tuple[str, str]]]:
        """Return a SELECT, and the names and kinds of what it gives."""
        froms, own = self._from(outer, depth)
        scope = (*own, *(outer if self._one_in(3) else ()))
        if kinds is None:
            kinds = [self._chance.choice("nnnttdbj") for _ in range(self._chance.choice((1, 1, 2, 3)))]
            if own and self._one_in(12):
                columns = [column for source in own for column in source.columns]
                star = self._filled(self._chance.choice(self._words.stars), own, 0)
                end = "" if is_part else self._end(scope, depth)
                return f"SELECT {star} {froms}{self._where(scope, depth)}{end}", columns
        is_grouped = self._one_in(5)
        keys = [self._column(self._chance.choice("nt"), own) for _ in range(self._chance.choice((0, 1, 1, 2)))]
        keys = [key for key in keys if key]
        items, columns = [], []
        for at, kind in enumerate(kinds):
            value = self._item(kind, scope, depth, keys if is_grouped else None)
            name = self._chance.choice((f"v{at}", "id", "name", "cost", "value")) if self._one_in(4) else f"v{at}"
            items.append(f"{value} AS {name}")
            columns.append((name, kind))
        if self._words.shapes and not is_part and not is_grouped and self._one_in(4):
            shape = self._filled(self._chance.choice(self._words.shapes), scope, min(depth, 1))
            parts = {"items": ", ".join(items), "from": froms, "where": self._where(scope, depth)}
            parts["end"] = self._end(own, depth)
            return _PART.sub(lambda found: parts[found[1]], shape), columns
        distinct = "DISTINCT " if self._one_in(10) else ""
        text = f"SELECT {distinct}{', '.join(items)} {froms}{self._where(scope, depth)}"
        if is_grouped:
            text += f" GROUP BY {', '.join(keys)}" if keys else ""
            text += f" HAVING {self._aggregate(scope, depth)} > {self._pick('int')}" if self._one_in(3) else ""
        return text + ("" if is_part else self._end(own if not is_grouped else (), depth)), columns

    def _item(self, kind: str, scope: _Scope, depth: int, keys: Sequence[str] | None) -> str:
        if keys is not None:
            return self._chance.choice(keys) if keys and self._one_in(2) else self._aggregate(scope, depth)
        if kind == "n" and depth > 0 and self._one_in(6):
            return self._filled(self._had((*WINDOWS, *self._words.windows)), scope, depth)
        return self._value("n" if kind == "b" and self._one_in(2) else kind, scope, depth)

    def _aggregate(self, scope: _Scope, depth: int) -> str:
        return self._filled(self._had((*AGGREGATES, *self._words.aggregates)), scope, depth - 1)

    def _scalar(self, kind: str, scope: _Scope, depth: int) -> str:
        if kind == "n" and self._one_in(2):
            froms, own = self._from(scope, depth)
            return f"SELECT {self._aggregate((*own, *scope), depth)} {froms}{self._where((*own, *scope), depth)}"
        return f"{self._select(scope, depth, [kind])[0]} LIMIT 1"

    def _from(self, outer: _Scope, depth: int) -> tuple[str, _Scope]:
        if self._one_in(15):
            return "", ()
        text, first = self._source(outer, depth)
        found = [first]
        for _ in range(self._chance.choice((0, 0, 0, 1, 1, 2))):
            join = self._had((*JOINS, *self._words.joins))
            other, source = self._source((*outer, *found), depth)
            text = f"{text} {join} {other}" if join != "," else f"{text}, {other}"
            before = tuple(found)
            found.append(source)
            if "NATURAL" not in join and join not in {",", "CROSS JOIN"}:
                text += self._condition(before, source, depth)
        return f"FROM {text}", tuple(found)

    def _condition(self, before: _Scope, source: _Source, depth: int) -> str:
        if self._one_in(6):
            shared = {name for name, _ in source.columns} & {name for each in before for name, _ in each.columns}
            shared |= set(source.hidden) if self._is_spicy(3) else set()
            return f" USING ({self._chance.choice(sorted(shared) or ['id'])})"
        left, right = self._column("n", before, is_full=True), self._column("n", (source,), is_full=True)
        if left and right and not self._one_in(4):
            return f" ON {left} {self._chance.choice(('=', '=', '=', '<', '>='))} {right}"
        return f" ON {self._value('b', (*before, source), min(depth, 1))}"

    def _source(self, outer: _Scope, depth: int) -> tuple[str, _Source]:  # noqa: PLR0911 - one a kind
        name = self._name()
        if self._is_spicy():
            text = self._filled(self._pick("source", is_bad=True), outer, depth)
            return f"{text} AS {name}", _Source(name, [("id", "n"), ("token", "t"), ("region", "t")], ("token",))
        if self._ctes and self._one_in(2):
            cte = self._chance.choice(self._ctes)
            return f"{cte.name} AS {name}", _Source(name, cte.columns, ())
        if self._words.sources and self._one_in(20):
            text = self._filled(self._chance.choice(self._words.sources), outer, 1)
            return text.replace("{}", name), _Source(name, [("value", "n")], ())
        if self._one_in(25):
            return self._parenthesised(name)
        if depth > 0 and self._one_in(6):
            text, columns = self._query((), depth - 1)
            return f"({text}) AS {name}", _Source(name, columns, ())
        if depth > 0 and "VALUES" not in self._words.without and self._one_in(25):
            return f"(VALUES (1, 'x'), (2, NULL)) AS {name}", _Source(name, [("column1", "n"), ("column2", "t")], ())
        table = self._chance.choice((*KINDS, "orders", "orders", "events"))
        columns, hidden = list(KINDS[table].items()), HIDDEN.get(table, ())
        if self._one_in(4) and not any(source.name == table for source in outer):
            return table, _Source(table, columns, hidden)
        return f"{table}{self._chance.choice((' AS ', ' '))}{name}", _Source(name, columns, hidden)

    def _parenthesised(self, name: str) -> tuple[str, _Source]:
        """Return tables joined in parentheses, under one name."""
        first, second = self._chance.sample(list(KINDS), 2)
        columns = {**KINDS[second], **KINDS[first]}
        join = (
            f"{first} JOIN {second}{self._chance.choice((' USING (id)', ' ON true', f' ON {first}.id = {second}.id'))}"
        )
        hidden = (*HIDDEN.get(first, ()), *HIDDEN.get(second, ()))
        return f"({join}) AS {name}", _Source(name, list(columns.items()), hidden)

    def _name(self) -> str:
        self._made += 1
        return self._had(_NAMES) if self._one_in(10) else f"s{self._made}"

    def _where(self, scope: _Scope, depth: int) -> str:
        return f" WHERE {self._value('b', scope, depth)}" if self._chance.random() < 0.55 else ""

    def _window(self, scope: _Scope, depth: int) -> str:
        parts = [f"PARTITION BY {self._value('t', scope, depth - 1)}"] if self._one_in(2) else []
        return " ".join([*parts, f"ORDER BY {self._value('n', scope, depth - 1)}"])

    def _end(self, scope: _Scope, depth: int) -> str:
        text = ""
        if scope and self._one_in(3):
            order = self._had(("", " DESC", " ASC", " NULLS LAST"))
            text += f" ORDER BY {self._value(self._chance.choice('nnt'), scope, min(depth, 1))}{order}"
        if depth > 0 and self._one_in(6):
            text += f" LIMIT {self._chance.choice((1, 3, 10))}{self._chance.choice(('', ' OFFSET 1'))}"
        return text

    def _aggregates_alone(self, scope: _Scope, depth: int) -> str:
        """Return a query of the column that is for aggregates alone, as it is accepted or nearly so."""
        chance, source = self._chance, (_Source("", tuple(KINDS["events"].items()), ("tip",)),)
        key = self._value(chance.choice("nntd"), source, min(depth, 1))
        if self._words.repeats and self._one_in(6):
            key = chance.choice(self._words.repeats)
        call = chance.choice(("sum(tip)", "avg(tip)", "count(tip)", "sum(tip), count(*)", "max(id), avg(tip)"))
        least = chance.choice(("count(tip) >= 5", "count(tip) >= 5", "count(tip) > 4", "count(tip) >= 50"))
        if self._one_in(6):
            call = chance.choice(("min(tip)", "max(tip) AS m, count(*)", "sum(DISTINCT tip)", "tip"))
        if self._one_in(5):
            least = chance.choice((f"{least} AND {self._value('b', source, 1)}", "count(*) >= 5", "count(tip) >= 4"))
        text = f"SELECT {key} AS k, {call} FROM events{self._where(source, depth)}"  # noqa: S608 - for the gate
        text = f"{text} GROUP BY {chance.choice(('1', key))}"
        text = f"{text} HAVING {least}{chance.choice(('', ' ORDER BY 1', ' ORDER BY 2 DESC'))}"
        if self._one_in(2):
            return text
        around = self._value("b", (_Source("x", [("k", "n")], ()), *scope), 1)
        limit = chance.choice((" LIMIT 1000", " LIMIT 1000", ""))
        return f"SELECT * FROM ({text}{limit}) AS x WHERE {around}"  # noqa: S608 - for the gate
