"""Is each stage of a call built only in its room? Python cannot hide a constructor, so the syntax tree is read."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator

import pytest
from source_tree import Module, imports, modules, planted

from sandbox import stages

ROOMS = {
    "ProposedCall": ("sandbox.doors", "sandbox.trial"),  # a trial is a door without a wire; a proposal proves nothing
    "AuthenticatedCall": ("sandbox.identity",),
    "ValidatedCall": ("sandbox.specs",),
    "TracedCall": ("sandbox.flow",),
    "PlannedCall": ("sandbox.executors",),
    "AuthorizedCall": ("sandbox.policy",),
    "Permit": ("sandbox.policy",),
    "Deny": ("sandbox.policy",),
    "ExecutedCall": ("sandbox.executors",),
    "ReleasedResult": ("sandbox.flow",),
    "SealedResult": ("sandbox.receipts",),
}
"""Stage → where it may be built (STYLE of the house: what a type proves is checked in one place)."""


def field_names(stage: type) -> set[str]:
    """Return the names of a stage's fields."""
    if dataclasses.is_dataclass(stage):
        return {field.name for field in dataclasses.fields(stage)}
    return set(stage.__struct_fields__)


FIELDS = {name: field_names(getattr(stages, name)) for name in ROOMS}
DEFINED_IN = ("sandbox.stages",)


def forgeries(module: Module) -> Iterator[str]:
    """Yield each place where a stage is, or could be, built outside its room."""
    parents = {child: node for node in ast.walk(module.tree) for child in ast.iter_child_nodes(node)}
    names = stage_names(module)
    knows_stages = any(imported.name.startswith("sandbox.stages") for imported in imports(module))
    for node in ast.walk(module.tree):
        where = f"{module.name}:{getattr(node, 'lineno', 0)}"
        if (stage := stage_of(node, names)) and not module.is_in(ROOMS[stage]) and is_value(node, parents):
            yield f"{where} uses {stage} as a value"
        if isinstance(node, ast.Call) and (copied := copied_stage(node, module, is_wary=knows_stages)):
            yield f"{where} copies {copied}"
        if isinstance(node, ast.Import | ast.ImportFrom) and (unseen := unseen_builders(node)):
            yield f"{where} takes {unseen}, which can build or change an object unseen"
        if isinstance(node, ast.Attribute) and node.attr in {"__new__", "__reduce__", "__setstate__"}:
            yield f"{where} reaches for {node.attr}"
        if isinstance(node, ast.Call) and is_built_by_example(node):
            yield f"{where} builds an object like another"
        if isinstance(node, ast.Call) and is_setting_another(node):
            yield f"{where} writes to a frozen object"


def stage_names(module: Module) -> dict[str, str]:
    """Return how a module calls the stages: local name → stage."""
    names: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "sandbox.stages":
            names |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in ROOMS}
    return names


def unseen_builders(node: ast.Import | ast.ImportFrom) -> str:
    """Return what is taken of msgspec beyond the base class of stages: `convert`, `force_setattr`, `replace`, …"""
    if isinstance(node, ast.Import):
        return ", ".join(alias.name for alias in node.names if alias.name.split(".")[0] == "msgspec")
    if (node.module or "").split(".")[0] != "msgspec":
        return ""
    harmless = {"Struct", "field"} if node.module == "msgspec" else set[str]()
    return ", ".join(alias.name for alias in node.names if alias.name not in harmless)


def stage_of(node: ast.AST, names: dict[str, str]) -> str | None:
    """Return the stage that a name or attribute means."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and node.attr in ROOMS:
        base = node.value
        return node.attr if getattr(base, "id", getattr(base, "attr", "")) == "stages" else None
    return None


def is_value(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Whether a type is used as a value: called, passed on, stored; not as an annotation, in isinstance or a match."""
    child, parent = node, parents.get(node)
    while parent is not None:
        if is_type_position(child, parent):
            return False
        if isinstance(parent, ast.stmt):
            return True
        child, parent = parent, parents.get(parent)
    return True


def is_type_position(child: ast.AST, parent: ast.AST) -> bool:
    """Whether `child` stands where only a type is meant."""
    match parent:
        case ast.arg() | ast.MatchClass() | ast.Assign(value=ast.BinOp(op=ast.BitOr())):  # or a union under a name
            return True
        case ast.AnnAssign():
            return child is parent.annotation
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return child is parent.returns
        case ast.Call(func=ast.Name(id="isinstance")):
            return child in parent.args[1:]
        case _:
            return isinstance(parent, ast.Subscript) and child is parent.slice


def copied_stage(call: ast.Call, module: Module, *, is_wary: bool) -> str | None:
    """Return the stage that `dataclasses.replace` would copy, told by the fields that it names."""
    called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    is_text = isinstance(call.func, ast.Attribute) and not isinstance(call.func.value, ast.Name)
    if called not in {"replace", "_replace", "__replace__"} or is_text or (len(call.args) != 1):
        return None
    changed = {keyword.arg for keyword in call.keywords}
    if not changed or None in changed:
        return "what may be a stage" if is_wary else None
    copied = [stage for stage, fields in FIELDS.items() if changed <= fields and not module.is_in(ROOMS[stage])]
    return " or ".join(copied) or None


def is_built_by_example(call: ast.Call) -> bool:
    """Whether the call is `type(x)(…)` or `x.__class__(…)`."""
    match call.func:
        case ast.Attribute(attr="__class__") | ast.Call(func=ast.Name(id="type")):
            return True
        case _:
            return False


def is_setting_another(call: ast.Call) -> bool:
    """Whether the call is `object.__setattr__` on something other than `self`."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "__setattr__":
        return False
    return not (call.args and isinstance(call.args[0], ast.Name) and call.args[0].id == "self")


@pytest.mark.requirement("house:minting:rooms")
def test_each_stage_is_built_only_in_its_room() -> None:
    rooms = (*DEFINED_IN, "sandbox.confined")  # the latter may not even import a stage
    found = [line for module in modules().values() if not module.is_in(rooms) for line in forgeries(module)]

    assert not found, "\n".join(found)


@pytest.mark.requirement("house:minting:rooms")
@pytest.mark.parametrize("stage", ROOMS)
def test_each_stage_is_built_at_all(stage: str) -> None:
    builders = [
        module.name
        for module in modules().values()
        if module.is_in(ROOMS[stage])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and stage_of(node.func, stage_names(module)) == stage
    ]

    assert builders


@pytest.mark.parametrize(
    "source",
    [
        "from sandbox.stages import AuthorizedCall\nAuthorizedCall(planned=p, permit=q)",
        "from sandbox.stages import AuthorizedCall as A\ndef f(p, q):\n    return A(planned=p, permit=q)",
        "from sandbox import stages\nstages.Permit(policy_digest=d, rule_ids=())",
        "import sandbox.stages\nsandbox.stages.Permit(policy_digest=d, rule_ids=())",
        "from sandbox.stages import Permit\nmake = Permit",
        "from sandbox.stages import Permit\nmap(Permit, x)",
        "from sandbox.stages import Permit\nobject.__new__(Permit)",
        "from sandbox.stages import Permit\nfrom typing import cast\nx = cast(Permit, y)",
        "from sandbox.stages import Permit\ndef f(p: Permit):\n    return type(p).__new__(type(p))",
        "from sandbox.stages import Permit\ndef f(p: Permit):\n    return p.__class__(policy_digest=d, rule_ids=())",
        "def f(permit):\n    return type(permit)(policy_digest=d, rule_ids=())",
        "from dataclasses import replace\nreplace(permit, rule_ids=())",
        "import dataclasses\ndataclasses.replace(call, planned=other)",
        "from sandbox.stages import Permit\nimport dataclasses\ndataclasses.replace(call, **changes)",
        "import msgspec.structs\nmsgspec.structs.force_setattr(permit, 'rule_ids', ())",
        "from msgspec import convert\nconvert({}, type=t)",
        "from msgspec.structs import replace as again\nagain(permit, rule_ids=())",
        "def f(permit):\n    object.__setattr__(permit, 'rule_ids', ())",
    ],
)
def test_a_planted_forgery_is_found(source: str) -> None:
    assert list(forgeries(planted("sandbox.executors.planted", source))) != []


@pytest.mark.parametrize(
    "source",
    [
        "from sandbox.stages import Permit\ndef f(p: Permit) -> Permit | None:\n    return p",
        "from sandbox.stages import Permit\nmatch p:\n    case Permit():\n        pass",
        "from sandbox.stages import Permit\nmakers: dict[str, list[Permit]] = {}\nx = NewType[Permit]",
        "from sandbox.stages import Permit\ndef f(p):\n    return isinstance(p, Permit)",
        "from sandbox.stages import PlannedCall\nPlannedCall(traced=t, plan=p)",
        "from msgspec import Struct, field\nclass A(Struct):\n    x: int = field(default=1)",
        "'a b'.replace('a', 'b')\ntext.replace(' ', '')",
        "from dataclasses import replace\nreplace(settings, listen='x')",
        "def f(cell):\n    return cell.__class__ is str",
    ],
)
def test_an_honest_use_is_not(source: str) -> None:
    assert list(forgeries(planted("sandbox.executors.planted", source))) == []
