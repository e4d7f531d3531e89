"""Does `sandbox bench gate` time what it names, on every engine?"""

from __future__ import annotations

import json
from typing import get_args

import pytest
from command_line import CommandLine

from sandbox.bench.gate import REFUSED, TEXTS, bench_gate
from sandbox.executors.drafts import Drafts
from sandbox.executors.ready import Draft, ReadyTool
from sandbox.settings import SqlSettings
from sandbox.toolspec import SqlEngine

pytestmark = pytest.mark.requirement("sql:bench:gate")


def test_each_text_is_taken_whole_when_cold_and_not_at_all_when_met_again(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    whole = ReadyTool.draft

    def draft(ready: ReadyTool, text: str, bounds: SqlSettings) -> Draft:
        taken.append(text)
        return whole(ready, text, bounds)

    met: list[str] = []
    remembered = Drafts.of

    def of(drafts: Drafts, ready: ReadyTool, text: str, payer: None) -> Draft:
        met.append(text)
        return remembered(drafts, ready, text, payer)

    monkeypatch.setattr(ReadyTool, "draft", draft)
    monkeypatch.setattr(Drafts, "of", of)
    rounds = 3
    figures = list(bench_gate(rounds, lambda _: None))

    assert [each.engine for each in figures] == list(get_args(SqlEngine))
    for text in TEXTS.values():
        assert met.count(text) == (1 + rounds) * len(figures)
        assert taken.count(text) == (1 + rounds) * len(figures) + 1, "PostgreSQL's is also printed for its own grammar"
    for text in REFUSED.values():
        assert taken.count(text) == rounds * len(figures)
    assert min(min(text[1:]) for each in figures for text in each.texts) > 0


def test_what_is_too_long_or_too_deep_is_refused_by_its_bound(sandbox: CommandLine) -> None:
    done = sandbox.run("bench", "gate", "--rounds", "10", "--json")
    assert done.code == 0, done.err
    for each in json.loads(done.out)["engines"]:
        assert [text["text"] for text in each["texts"]] == list(TEXTS)
        assert {text["text"]: text["rule"] for text in each["refused"]} == {
            "1 MB": "sql/bytes",
            "10,000 deep": "sql/tokens",
            "2,000 deep": "sql/depth",
        }


def test_the_figures_are_told_in_lines(sandbox: CommandLine) -> None:
    done = sandbox.run("bench", "gate", "--rounds", "10")
    assert done.code == 0, done.err
    head, *lines = done.out.splitlines()
    assert "times parse" in head
    assert len(lines) == len(get_args(SqlEngine)) * (len(TEXTS) + len(REFUSED))
