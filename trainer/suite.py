"""Suites: which tasks of the harness are run, how, and what others have published on them. Data, in `suites/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from mixtures.errors import RecipeError
from mixtures.strict import load


@dataclass(frozen=True, kw_only=True)
class SuiteTask:
    """A task, or a group of tasks, of lm-eval."""

    label: str
    task: str
    few_shot: int
    """Worked examples before each question."""
    metric: str
    filter: str = "none"
    """How the harness gets the answer out of what was generated."""
    percent: float | None = None
    """The published figure."""


@dataclass(frozen=True, kw_only=True)
class Average:
    """The mean over several tasks of a suite."""

    label: str
    of: tuple[str, ...]
    percent: float | None = None


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A table of published figures, and the settings to fill a column of it."""

    name: str
    title: str
    model: str
    """Whose figures the published ones are."""
    status: Literal["published", "second_hand"]
    source: str
    tasks: tuple[SuiteTask, ...]
    averages: tuple[Average, ...] = ()
    note: str = ""
    runs_code: bool = False
    """Whether code that the model wrote is executed."""

    def __post_init__(self) -> None:
        names = [task.task for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError("tasks: one stands there twice; remove it")
        for average in self.averages:
            unknown = set(average.of) - set(names)
            if unknown:
                raise ValueError(f"averages: {min(unknown)} is none of the suite's tasks; correct `of`")


def suite_names() -> list[str]:
    """Names of the suites."""
    return sorted(file.stem for file in suite_folder().glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Read a suite by its name. Raises RecipeError."""
    if name not in suite_names():
        raise RecipeError(f"{name}: no such suite; there are {', '.join(suite_names())}")
    return load(Suite, suite_folder() / f"{name}.yaml")


def suite_folder() -> Path:
    """Where the suites lie."""
    return Path(str(resources.files("trainer") / "suites"))
