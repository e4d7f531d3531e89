"""What must hold of a statement? One rule a file; their order here is the order of checking.

Token rules look at the engine's own tokens, tree rules at the kinds of nodes, name rules at what each name means.
All of them must pass; the first that does not is the refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sandbox.sql.lex import Lexed
from sandbox.sql.parse import Parsed
from sandbox.sql.resolve import Resolved
from sandbox.sql.rules import (
    aggregate_only,
    backtracking,
    casts,
    claims,
    collations,
    columns,
    constructs,
    costly,
    cte_names,
    functions,
    grammar,
    growing,
    guarded_names,
    guessed_names,
    in_table,
    name_case,
    node_kinds,
    one_statement,
    parameters,
    qualified_names,
    read_only,
    rollup,
    row_ids,
    same_words,
    searching,
    shared_columns,
    string_names,
    table_functions,
    tables,
    whole_rows,
)

TOKEN_RULES: Final[tuple[Callable[[Lexed], None], ...]] = (
    one_statement.check,
    read_only.check,
    backtracking.check,
    grammar.check,
    parameters.check,
    claims.check,
    casts.check,
    collations.check,
    string_names.check,
    rollup.check,
)

TREE_RULES: Final[tuple[Callable[[Parsed], None], ...]] = (node_kinds.check,)

NAME_RULES: Final[tuple[Callable[[Resolved], None], ...]] = (
    functions.check,
    costly.check,
    searching.check,
    growing.check,
    table_functions.check,
    qualified_names.check,
    name_case.check,
    tables.check,
    in_table.check,
    row_ids.check,
    whole_rows.check,
    shared_columns.check,
    cte_names.check,
    columns.check,
    aggregate_only.check,
    guessed_names.check,
    constructs.check,
    guarded_names.check,
    same_words.check,
)

RULES: Final = (*TOKEN_RULES, *TREE_RULES, *NAME_RULES)
