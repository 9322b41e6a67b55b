"""What LaTeX's commands and environments become in a text, as data (`data/latex.yaml`)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from mixtures.strict import load

_FILE: Final = resources.files("mixtures") / "sources" / "data" / "latex.yaml"


@dataclass(frozen=True, kw_only=True)
class LatexTables:
    """Names, of commands with the pattern of their arguments; see the file."""

    headings: dict[str, int]
    dropped_macros: dict[str, str]
    kept_macros: dict[str, str]
    signs: dict[str, str]
    references: dict[str, str]
    citations: dict[str, str]
    environment_arguments: dict[str, str]
    skips: tuple[str, ...]
    math_environments: tuple[str, ...]
    dropped_environments: tuple[str, ...]
    figures: tuple[str, ...]
    removed_environments: tuple[str, ...]
    code_environments: tuple[str, ...]
    named: dict[str, str]
    main_names: tuple[str, ...]


@functools.cache
def latex_tables() -> LatexTables:
    """The tables that are shipped."""
    return load(LatexTables, Path(str(_FILE)))
