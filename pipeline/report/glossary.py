"""What the steps and rules mean, in a few words each (`glossary.yaml`)."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import yaml


def stage_phrase(stage: str) -> str:
    """Return what the step does, or nothing for a step that the glossary does not know."""
    return str(_entry(stage).get("does", ""))


def rule_phrase(stage: str, rule: str) -> str:
    """Return why the rule drops a page, or nothing for a rule that the glossary does not know."""
    if rule.startswith("error:"):
        return f"the step failed on this page ({rule.removeprefix('error:')})"
    return str(_entry(stage).get("rules", {}).get(rule, ""))


def _entry(stage: str) -> dict[str, Any]:
    return _entries().get(stage, {})


@functools.cache
def _entries() -> dict[str, dict[str, Any]]:
    text = (resources.files("pipeline.report") / "glossary.yaml").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return entries
