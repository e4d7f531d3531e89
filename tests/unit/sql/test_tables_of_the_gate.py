"""Do the gate's tables name what there is: every rule, every function of the engine that is allowed?"""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import apsw
import pytest
from sql_shop import BOUNDS, ask

from sandbox.reasons import Reason, Refused
from sandbox.sql import Catalogue, ColumnShape, GateInput, TableShape, folded, prove, rules
from sandbox.sql.dialects import DIALECTS
from sandbox.toolspec import Digest, TableRule

SQLITE = DIALECTS["sqlite"]
MODULES = {
    module.name: importlib.import_module(f"sandbox.sql.rules.{module.name}")
    for module in pkgutil.iter_modules(rules.__path__)
    if module.name != "findings"
}


@pytest.mark.requirement("sql:rules:listed")
def test_every_file_of_rules_is_in_the_tuple_under_an_id_of_its_own() -> None:
    listed = {rule.__module__.rpartition(".")[2] for rule in rules.RULES}
    ids = {name: module.RULE for name, module in MODULES.items()}

    assert listed == set(MODULES)
    assert len(set(ids.values())) == len(ids)
    assert all(identifier == "sql/" + name.replace("_", "-") for name, identifier in ids.items())


@pytest.mark.requirement("sql:rules:listed")
def test_every_rule_is_named_by_a_test_or_a_fixture() -> None:
    tests = Path(__file__).parents[2]
    said = "\n".join(
        path.read_text("utf-8")
        for folder in ("fixtures/sql", "unit/sql", "attacks")
        for path in (tests / folder).iterdir()
        if path.suffix in (".sql", ".py")
    )

    assert not [module.RULE for module in MODULES.values() if not re.search(rf"{module.RULE}\b", said)]


@pytest.mark.requirement("sql:functions:allow-list")
def test_the_engine_has_every_function_of_the_table() -> None:
    had = {str(row[0]) for row in apsw.Connection(":memory:").execute("SELECT name FROM pragma_function_list")}

    assert set(SQLITE.functions) - had == {"claim", *SQLITE.table_functions}


@pytest.mark.requirement("sql:functions:allow-list")
@pytest.mark.parametrize("name", SQLITE.table_functions)
def test_a_table_function_has_the_columns_that_the_gate_says(name: str) -> None:
    cursor = apsw.Connection(":memory:").execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,))
    had = [(str(column), bool(is_hidden)) for column, is_hidden in cursor]

    assert [column for column, is_hidden in had if not is_hidden] == list(SQLITE.table_functions[name])
    assert [column for column, is_hidden in had if is_hidden] == list(SQLITE.argument_columns[name])


@pytest.mark.requirement("sql:functions:allow-list")
@pytest.mark.parametrize("name", sorted(set(SQLITE.functions) - {"claim", *SQLITE.table_functions}))
def test_every_function_of_the_table_can_be_called(name: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE customers (id INTEGER, name TEXT, city TEXT)")
    called = 0
    for arguments in ("name", "id, name", "name, id", "id, name, city", ""):
        for over in ("", " OVER (ORDER BY id)"):
            call = name if name.startswith("current_") else f"{name}({arguments}){over}"
            try:
                connection.execute(f"SELECT {call} FROM customers")  # noqa: S608 - from the table
                called += name in ask(f"SELECT {call} FROM customers").rights.functions  # noqa: S608 - the same
            except (apsw.SQLError, Refused):
                continue

    assert called


@pytest.mark.requirement("sql:functions:allow-list")
def test_no_function_of_the_table_reaches_outside() -> None:
    forbidden = {
        "load_extension",
        "readfile",
        "writefile",
        "edit",
        "fts3_tokenizer",
        "zeroblob",
        "randomblob",
        "changes",
    }

    assert not forbidden & set(SQLITE.functions)
    assert not {name for name in SQLITE.functions if name.startswith(("sqlite_", "fts", "geopoly", "rtree"))}


@pytest.mark.requirement("sql:refusals:act-on")
@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT nam FROM customers", "did you mean `name`?"),
        ("SELECT id FROM custmers", "did you mean `customers`?"),
        ("SELECT lenght(name) FROM customers", "did you mean `length`?"),
        ("SELECT id FROM t9", "it may read `customers`, `events`, `order lines`, `orders`"),
        ("SELECT name ILIKE 'a' FROM customers", "`LIKE` is accepted"),
        ("SELECT TOP 5 id FROM orders", "`LIMIT` is accepted"),
        ("DELETE FROM orders", "this tool runs a single `SELECT`"),
    ],
)
def test_a_refusal_says_what_would_be_accepted(sql: str, hint: str) -> None:
    with pytest.raises(Refused) as caught:
        ask(sql)

    assert hint in caught.value.message
    assert not caught.value.message[0].isupper()


@pytest.mark.requirement("sql:refusals:no-oracle")
@pytest.mark.parametrize(
    "shape", ["SELECT {} FROM orders", "SELECT o.{} FROM orders o", "SELECT id FROM orders ORDER BY {}"]
)
def test_a_hidden_column_is_answered_like_one_that_does_not_exist(shape: str) -> None:
    def answer(name: str) -> tuple[Reason, str, str]:
        with pytest.raises(Refused) as caught:
            ask(shape.format(name))
        return caught.value.reason, caught.value.rule, caught.value.message.replace(name, "?")

    assert answer("secret") == answer("nosuch")


@pytest.mark.requirement("sql:refusals:no-oracle")
def test_a_forbidden_table_is_answered_like_one_that_does_not_exist() -> None:
    def answer(name: str) -> tuple[Reason, str, str]:
        with pytest.raises(Refused) as caught:
            ask(f"SELECT id FROM {name}")  # noqa: S608 - food for the gate
        return caught.value.reason, caught.value.rule, caught.value.message.replace(name, "?")

    assert answer("vault") == answer("klmno")


@pytest.mark.requirement("sql:names:folding")
def test_names_are_folded_as_the_engine_folds_them() -> None:
    assert folded("ORDERS") == "orders"
    assert folded("\u212aELVIN") == "\u212aelvin"
    assert folded("ÄÖ") == "ÄÖ"


@pytest.mark.requirement("sql:names:row-ids")
def test_a_real_column_named_rowid_is_a_column() -> None:
    table = TableShape("t", (ColumnShape("rowid", "TEXT"), ColumnShape("oid", "TEXT")), "table", has_rowid=True)
    rule = TableRule(table="t", columns=("rowid",))

    def ask_t(sql: str) -> tuple[tuple[str, str], ...]:
        catalogue = Catalogue({"t": table}, Digest(""))
        given = GateInput(
            dialect="sqlite", text=sql, catalogue=catalogue, tables={"any": rule},
            parameters=frozenset(), may_claim=False, bounds=BOUNDS,
        )  # fmt: skip
        return prove(given).rights.columns

    assert ask_t("SELECT rowid FROM t") == (("t", "rowid"),)
    with pytest.raises(Refused):
        ask_t("SELECT oid FROM t")
    with pytest.raises(Refused):
        ask_t("SELECT _rowid_ FROM t")
