"""A small shop that specs are held to."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from sandbox.deployment import Deployment
from sandbox.problems import Problem
from sandbox.reasons import Reason, Refused
from sandbox.settings import Settings
from sandbox.specs import SpecsRead, lint_connections, lint_specs
from sandbox.sql import Catalogue, ColumnShape, TableShape
from sandbox.toolspec import Connection, Digest, ToolSpec

FIXTURES = Path(__file__).parents[2] / "fixtures" / "specs"

CONNECTIONS = """\
[shop]
engine = "sqlite"
path = "data/shop.db"
ceiling = {tables = ["orders", "customers"]}

[gone]
engine = "sqlite"
path = "data/gone.db"
ceiling = {tables = "all"}

[crm]
engine = "http"
base_url = "https://crm.example.com/api"
auth = {header = "X-Api-Key", value = {env = "CRM_KEY"}}
ceiling = {methods = ["GET", "POST"], paths = ["/v1/customers/*", "/v1/customers", "/v1/notes/**"]}
"""


def _table(name: str, /, **columns: str) -> TableShape:
    return TableShape(
        name, tuple(ColumnShape(column, kind) for column, kind in columns.items()), "table", has_rowid=True
    )


_TABLES = (
    _table(
        "orders", id="INTEGER", customer_id="INTEGER", region="TEXT", cents="INTEGER", placed_on="TEXT", secret="TEXT"
    ),
    _table("customers", id="INTEGER", name="TEXT", city="TEXT", email="TEXT"),
    _table("ledger", id="INTEGER", cents="INTEGER"),
)
SHOP = Catalogue(MappingProxyType({table.name: table for table in _TABLES}), Digest("0" * 64))


def catalogue_of(connection: Connection) -> Catalogue:
    if connection.name == "gone":
        raise Refused(Reason.EXECUTOR_UNAVAILABLE, "the target cannot be opened")
    return SHOP


@pytest.fixture
def shop() -> Catalogue:
    return SHOP


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    (tmp_path / "toolspecs").mkdir()
    (tmp_path / "connections.toml").write_text(CONNECTIONS)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gone.db").touch()
    return Deployment(tmp_path)


@pytest.fixture
def linted(deployment: Deployment) -> Callable[..., SpecsRead]:
    """Lint spec files, given as name and content."""

    def lint(**files: bytes | str) -> SpecsRead:
        for name, content in files.items():
            path = deployment.toolspecs / f"{name}.yaml"
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return lint_specs(deployment, lint_connections(deployment), catalogue_of, Settings())

    return lint


@pytest.fixture
def problems(linted: Callable[..., SpecsRead]) -> Callable[[str], tuple[Problem, ...]]:
    """Lint one spec text."""
    return lambda text: linted(spec=text).problems


@pytest.fixture
def good(linted: Callable[..., SpecsRead]) -> Callable[[str], ToolSpec]:
    """Read one good fixture."""

    def read(name: str) -> ToolSpec:
        found = linted(**{name: (FIXTURES / "good" / f"{name}.yaml").read_bytes()})
        assert not found.problems, [problem.render() for problem in found.problems]
        return next(iter(found.specs.tools.values()))

    return read
