"""Is a folder of specs taken whole or not at all?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed
from sandbox.settings import Settings
from sandbox.specs import SpecsRead, lint_connections, lint_specs, load_specs, read_connections
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection

GOOD = Path(__file__).parents[2] / "fixtures" / "specs" / "good"
Linted = Callable[..., SpecsRead]


def _text(name: str) -> str:
    return (GOOD / f"{name}.yaml").read_text()


@pytest.mark.requirement("specs:load:whole")
def test_tools_come_in_name_order_with_their_sources(deployment: Deployment, shop: Catalogue) -> None:
    for name in ("statement", "design", "ceiling"):
        (deployment.toolspecs / f"{name}.yaml").write_text(_text(name))
    loaded = load_specs(deployment, read_connections(deployment), lambda _: shop, Settings())
    assert list(loaded.tools) == ["shop.count", "shop.of_region", "shop.query"]
    assert {spec.file: spec.source for spec in loaded.tools.values()} == {
        f"{n}.yaml": _text(n).encode() for n in ("ceiling", "statement", "design")
    }


@pytest.mark.requirement("specs:load:whole")
def test_one_bad_file_refuses_the_whole_set(deployment: Deployment, shop: Catalogue) -> None:
    (deployment.toolspecs / "good.yaml").write_text(_text("design"))
    (deployment.toolspecs / "bad.yaml").write_text("spec: tool/v1\n")
    with pytest.raises(LintFailed) as failed:
        load_specs(deployment, read_connections(deployment), lambda _: shop, Settings())
    assert {problem.file for problem in failed.value.problems} == {"toolspecs/bad.yaml"}


@pytest.mark.requirement("specs:load:unique-names")
def test_a_name_is_taken_once(linted: Linted) -> None:
    found = linted(a=_text("design"), b=_text("design"))
    (problem,) = found.problems
    assert (problem.file, problem.line, problem.column) == ("toolspecs/b.yaml", 3, 7)
    assert problem.message == "tool name `shop.query` is taken by toolspecs/a.yaml:3"


@pytest.mark.requirement("specs:load:overlooked")
def test_files_that_would_be_overlooked_are_told(deployment: Deployment, linted: Linted) -> None:
    (deployment.toolspecs / "a.yml").write_text("")
    (deployment.toolspecs / "b.YAML").write_text("")
    (deployment.toolspecs / "more").mkdir()
    (deployment.toolspecs / ".hidden.yaml").write_text("")
    (deployment.toolspecs / "notes.txt").write_text("")
    (deployment.toolspecs / "c.yaml").symlink_to(deployment.root / "nowhere")
    assert [(problem.file, problem.rule) for problem in linted().problems] == [
        ("toolspecs/a.yml", "spec/file-name"),
        ("toolspecs/b.YAML", "spec/file-name"),
        ("toolspecs/more", "spec/file-name"),
        ("toolspecs/c.yaml", "yaml/unreadable"),
    ]


@pytest.mark.requirement("specs:load:whole")
def test_a_catalogue_is_read_once(deployment: Deployment, shop: Catalogue) -> None:
    read: list[str] = []

    def counting(connection: Connection) -> Catalogue:
        read.append(connection.name)
        return shop

    for name in ("statement", "design", "ceiling"):
        (deployment.toolspecs / f"{name}.yaml").write_text(_text(name))
    load_specs(deployment, read_connections(deployment), counting, Settings())
    assert read == ["shop"]


@pytest.mark.requirement("specs:connections:ceiling")
def test_a_ceiling_over_nothing_is_told(deployment: Deployment, shop: Catalogue) -> None:
    text = deployment.connections.read_text()
    deployment.connections.write_text(text.replace('"orders", "customers"', '"orders", "customers", "custmers"'))
    (deployment.toolspecs / "design.yaml").write_text(_text("design"))
    connections = lint_connections(deployment)
    (problem,) = lint_specs(deployment, connections, lambda _: shop, Settings()).problems
    assert (problem.file, problem.line) == ("connections.toml", 4)
    assert problem.message == (
        "the ceiling of `shop` names table `custmers`, which is not there; did you mean `customers`?"
    )


@pytest.mark.requirement("specs:load:whole")
def test_a_broken_connection_is_not_told_as_unknown(deployment: Deployment, linted: Linted) -> None:
    deployment.connections.write_text('[shop]\nengine = "sqlite"\n')
    assert linted(design=_text("design")).problems == ()


@pytest.mark.requirement("specs:load:whole")
def test_no_folder_is_no_deployment(deployment: Deployment, shop: Catalogue) -> None:
    deployment.toolspecs.rmdir()
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_specs(deployment, read_connections(deployment), lambda _: shop, Settings())


@pytest.mark.requirement("specs:limits:fit-a-message")
def test_a_result_must_fit_one_message(deployment: Deployment, shop: Catalogue) -> None:
    text = _text("design").replace("256KiB", "1MiB")
    (deployment.toolspecs / "design.yaml").write_text(text)
    small = Settings.model_validate({"server": {"max_message_bytes": 1024 * 1024}})
    with pytest.raises(LintFailed, match="at most 983040 bytes so that a reply fits one message"):
        load_specs(deployment, read_connections(deployment), lambda _: shop, small)
    load_specs(deployment, read_connections(deployment), lambda _: shop, Settings())
