"""What is wrong with `sandbox.toml`, and where? Every key of it in one pass, for lint."""

from __future__ import annotations

import tomllib

from pydantic import ValidationError

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import Problem
from sandbox.settings import Settings, read_settings
from sandbox.settings_sentences import told_settings
from sandbox.specs.findings import Findings, Rule


def lint_settings(deployment: Deployment) -> tuple[Settings | None, list[Problem]]:
    """Return the settings, or everything that is wrong with them; raises `Misconfigured` where there is no file."""
    path = deployment.settings
    try:
        return read_settings(path)[0], []
    except Misconfigured as error:
        if not path.is_file():
            raise
        return None, _problems(error, path.name, path.read_bytes())


def _problems(error: Misconfigured, file: str, source: bytes) -> list[Problem]:
    findings = Findings(file, source.decode("utf-8", "replace"))
    match error.__cause__:
        case ValidationError() | tomllib.TOMLDecodeError() as invalid:
            for mark, sentence in told_settings(invalid, Settings, source):
                findings.add(Rule.SETTINGS, mark, sentence)
        case _:
            findings.add(Rule.SETTINGS, None, str(error).partition(": ")[2])
    return findings.problems
