"""What may be asked, and is this call one of it? YAML to tool specs, arguments to checked arguments."""

from sandbox.specs.arguments import Arguments, parse_arguments
from sandbox.specs.connections import ConnectionsRead, lint_connections, load_connections, read_connections
from sandbox.specs.editor import editor_schema
from sandbox.specs.load import SpecSet, SpecsRead, lint_specs, load_one_spec, load_specs
from sandbox.specs.result_schema import result_schema
from sandbox.specs.settings_file import lint_settings
from sandbox.specs.specs import Specs, tool_input_schema_json

__all__ = [
    "Specs",
    "SpecSet",
    "load_specs",
    "load_one_spec",
    "lint_specs",
    "SpecsRead",
    "lint_settings",
    "load_connections",
    "read_connections",
    "lint_connections",
    "ConnectionsRead",
    "Arguments",
    "parse_arguments",
    "tool_input_schema_json",
    "result_schema",
    "editor_schema",
]
