"""Programming languages as data: names, spellings and file endings (`data/code_languages.yaml`)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final

from mixtures.strict import load

_FOLDER: Final = resources.files("mixtures") / "sources" / "data"


@dataclass(frozen=True, kw_only=True)
class Language:
    """A programming language. also: other names of it, lower case. endings: of file names, with the dot."""

    name: str
    endings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Languages:
    """The list."""

    languages: tuple[Language, ...]


@functools.cache
def language_names() -> dict[str, str]:
    """Name of each language by every spelling of it, lower case, blanks and underscores as hyphens."""
    return {_spelt(name): language.name for language in _languages() for name in (language.name, *language.also)}


def named_language(name: str) -> str | None:
    """The language called `name` in any spelling, if it is in the list."""
    return language_names().get(_spelt(name))


def language_of_file(path: str) -> str | None:
    """The language that a file's name tells, if it is in the list."""
    name = PurePosixPath(path).name
    by_file, by_ending = _files()
    return by_file.get(name.lower()) or by_ending.get(PurePosixPath(name).suffix.lower())


@functools.cache
def permissive_licences() -> frozenset[str]:
    """SPDX identifiers of `data/permissive_licences.txt`, lower case."""
    lines = (_FOLDER / "permissive_licences.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))


@functools.cache
def _languages() -> tuple[Language, ...]:
    return load(Languages, Path(str(_FOLDER / "code_languages.yaml"))).languages


@functools.cache
def _files() -> tuple[dict[str, str], dict[str, str]]:
    by_file = {file.lower(): language.name for language in _languages() for file in language.files}
    by_ending: dict[str, str] = {}
    for language in _languages():
        for ending in language.endings:
            by_ending.setdefault(ending.lower(), language.name)  # of two languages the one that stands first
    return by_file, by_ending


def _spelt(name: str) -> str:
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())
