"""Does the editor's schema say what lint says, as far as a schema can?"""

import json
from pathlib import Path

import jsonschema_rs
import pytest

import sandbox.specs
from sandbox.specs.editor import editor_schema, editor_schema_text
from sandbox.specs.findings import Findings
from sandbox.specs.tool import KEYS
from sandbox.specs.yaml import plain, read_yaml
from sandbox.values import JsonValue

FIXTURES = Path(__file__).parents[2] / "fixtures" / "specs"


def _read(path: Path) -> JsonValue:
    node = read_yaml(path.read_text(), Findings(path.name))
    assert node is not None
    return plain(node)


@pytest.mark.requirement("specs:editor:generated")
def test_the_file_is_the_generated_one() -> None:
    kept = Path(sandbox.specs.__file__).with_name("tool.v1.json")
    assert kept.read_text() == editor_schema_text(), "write it anew from `sandbox.specs.editor.editor_schema_text()`"


@pytest.mark.requirement("specs:editor:generated")
def test_it_names_every_key_of_a_spec() -> None:
    properties = editor_schema()["properties"]
    assert isinstance(properties, dict)
    assert tuple(properties) == KEYS


@pytest.mark.requirement("specs:editor:agrees")
@pytest.mark.parametrize("name", ["design", "statement", "ceiling", "long_form"])
def test_good_specs_are_good_in_an_editor(name: str) -> None:
    validator = jsonschema_rs.Draft7Validator(json.loads(editor_schema_text()))
    assert list(validator.iter_errors(_read(FIXTURES / "good" / f"{name}.yaml"))) == []


@pytest.mark.requirement("specs:editor:agrees")
@pytest.mark.parametrize("name", ["typos", "not_built", "values", "missing", "list", "examples_shape"])
def test_bad_shapes_are_bad_in_an_editor(name: str) -> None:
    validator = jsonschema_rs.Draft7Validator(json.loads(editor_schema_text()))
    assert not validator.is_valid(_read(FIXTURES / "bad" / f"{name}.yaml"))
