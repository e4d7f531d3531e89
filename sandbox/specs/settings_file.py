"""What is wrong with `sandbox.toml`, and where? Every key of it in one pass, for lint."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import Problem
from sandbox.reasons import quoted
from sandbox.settings import Settings, read_settings
from sandbox.specs.findings import Findings, Mark, Rule, suggestion
from sandbox.specs.toml_places import TomlPlaces, toml_complaint


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
        case ValidationError() as invalid:
            places = TomlPlaces(findings.lines)
            for found in invalid.errors(include_url=False):
                parts = [str(part) for part in found["loc"]]
                message = _sentence(parts, found["type"], found["msg"])
                findings.add(Rule.SETTINGS, _place(places, parts), message)
        case tomllib.TOMLDecodeError() as invalid:
            complaint, mark = toml_complaint(invalid)
            findings.add(Rule.SETTINGS, mark, f"not TOML: {quoted(complaint, 120)[1:-1]}")
        case _:
            findings.add(Rule.SETTINGS, None, str(error).partition(": ")[2])
    return findings.problems


def _place(places: TomlPlaces, parts: list[str]) -> Mark:
    if len(parts) < 2:
        return places.of(parts[0] if parts else "")
    return places.of(parts[0], parts[1])


def _sentence(parts: list[str], kind: str, complaint: str) -> str:
    key = quoted(".".join(parts))
    if kind == "extra_forbidden":
        accepted = _sections() if len(parts) < 2 else _sections().get(parts[0], ())
        return f"unknown setting {key}{suggestion(parts[-1], accepted)}"
    return f"{key}: {complaint[:1].lower()}{complaint[1:]}"


def _sections() -> Mapping[str, tuple[str, ...]]:
    """Return the keys of each section."""
    return {
        name: tuple(field.annotation.model_fields)
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
