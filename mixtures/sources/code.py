"""Source code in parquet or JSON lines, with the columns of The Stack and its successors, one document per file.

Which languages, licences and files are wanted stands in the recipe; a file's measures are taken of its text, also where
the set has columns of them, so that one rule means the same in every set.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from mixtures.errors import InputError
from mixtures.sources.document import Document, Dropped, Item
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.kind import Kind
from mixtures.sources.languages import language_names, language_of_file, named_language, permissive_licences
from mixtures.sources.page_text import visible_text
from mixtures.sources.rows import PATTERN, SAID, Row, column_names, first_value, rows, splits
from mixtures.sources.streams import Piece

COLUMNS: Final = {
    "content": ("content", "code", "text"),
    "language": ("lang", "language", "programming_language"),
    "repository": ("max_stars_repo_name", "repo_name", "repository_name", "repo"),
    "path": ("max_stars_repo_path", "path", "file_path"),
    "licences": ("max_stars_repo_licenses", "detected_licenses", "licenses", "license"),
    "licence_type": ("license_type",),
    "digest": ("hexsha", "blob_id", "content_id", "id"),
    "revision": ("max_stars_repo_head_hexsha", "revision_id"),
    "ending": ("ext", "extension"),
    "generated": ("is_generated",),
    "vendored": ("is_vendor",),
}
"""What a row says, and the columns that sets have it in: the first that is there and not null counts."""

MEASURES: Final[Mapping[str, Callable[[str], float]]] = {
    "max_line_length": lambda text: max(map(len, text.splitlines()), default=0),
    "avg_line_length": lambda text: len(text) / max(1, len(text.splitlines())),
    "alphanum_share": lambda text: sum(map(str.isalnum, text)) / max(1, len(text)),
    "alpha_share": lambda text: sum(map(str.isalpha, text)) / max(1, len(text)),
    "chars": len,
    "visible_chars": lambda text: len(visible_text(text)),
    "visible_share": lambda text: len(visible_text(text)) / max(1, len(text)),
}


_TAG: Final = re.compile(r"<(reponame|filename|gh_stars)>([^<>\n]*)")
_TAGS: Final = re.compile(rf"(?:{_TAG.pattern})+\n")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A bound on a measure; `source` says whose it is."""

    name: str
    measure: str
    source: str
    at_least: float | None = None
    at_most: float | None = None
    languages: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ValueError(f"measure: there is no {self.measure!r}; there are {', '.join(MEASURES)}")
        if self.at_least is None and self.at_most is None:
            raise ValueError("a rule needs at_least or at_most")
        _check_languages(self.languages + self.excepted)

    def is_broken(self, text: str, language: str | None) -> bool:
        """Whether the rule holds for the language and the text breaks it."""
        if not _concerns(self.languages, self.excepted, language):
            return False
        value = MEASURES[self.measure](text)
        below = self.at_least is not None and value < self.at_least
        return below or (self.at_most is not None and value > self.at_most)


@dataclass(frozen=True, kw_only=True)
class Marker:
    """Texts that tell what a file is, in its first `lines` or `chars`."""

    name: str
    texts: tuple[str, ...]
    source: str
    lines: int | None = None
    chars: int | None = None
    excepted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.lines is None) == (self.chars is None):
            raise ValueError("a marker needs lines or chars, and not both")
        _check_languages(self.excepted)

    def is_in(self, text: str, language: str | None) -> bool:
        """Whether one of the texts stands where it counts."""
        if not _concerns((), self.excepted, language):
            return False
        head = text[: self.chars] if self.lines is None else "\n".join(text[: 1 << 16].split("\n")[: self.lines])
        head = head.lower()
        return any(marker.lower() in head for marker in self.texts)


@dataclass(frozen=True, kw_only=True)
class CodeOptions:
    """What is taken of code; see mixtures/recipes/sources/code.yaml."""

    source: str
    languages: tuple[str, ...] | None
    other_languages: Literal["keep", "drop"]
    licences: tuple[str, ...] | None
    without_licence: Literal["keep", "drop"]
    min_bytes: int
    max_bytes: int
    rules: tuple[Rule, ...]
    markers: tuple[Marker, ...]
    minified_endings: tuple[str, ...]
    vendored_folders: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_languages(self.languages or ())
        if not 0 <= self.min_bytes <= self.max_bytes:
            raise ValueError("min_bytes must be at least 0 and at most max_bytes")

    @cached_property
    def wanted_licences(self) -> frozenset[str]:
        """Licences by lower-case identifier."""
        return permissive_licences() if self.licences is None else frozenset(map(str.lower, self.licences))


def check(sources: Sequence[Source], _options: CodeOptions) -> None:
    """Raise InputError for an input without a column of code."""
    for source in sources:
        names = column_names(source)
        if names and not set(COLUMNS["content"]) & set(names):
            wanted = ", ".join(COLUMNS["content"])
            raise InputError(f"{source.path}: no column of code ({wanted}); it has {', '.join(names)}")


def read(piece: Piece, options: CodeOptions) -> Iterator[Item]:
    """The documents of a piece."""
    return documents(rows(piece, {name for names in COLUMNS.values() for name in names}), options)


def documents(found: Iterator[Row | Dropped], options: CodeOptions) -> Iterator[Item]:
    """One document, or the reason against it, per row."""
    for row in found:
        yield row if isinstance(row, Dropped) else _document(row, options)


def _document(row: Row, options: CodeOptions) -> Document | Dropped:
    said = {what: first_value(row.values, names) for what, names in COLUMNS.items()}
    if not isinstance(said["content"], str):
        return Dropped(reason="no text", place=row.place, damaged=True)
    text, tags = _untagged(said["content"])
    path = str(said["path"] or tags.get("filename") or "")
    language = _language(said, path)
    licences = _licences(said)
    reason = (
        _against_language(language, options)
        or _against_licences(licences, str(said["licence_type"] or ""), options)
        or _against_path(path, said, options)
        or _against_text(text, language, options)
    )
    if reason:
        return Dropped(reason=reason)
    repository = str(said["repository"] or tags.get("reponame") or "")
    return Document(
        key=(repository, path, str(said["digest"] or _digest(text))),
        text=text,
        source=options.source,
        url=_url(repository, path, str(said["revision"] or "")),
        title=path.lstrip("/") or None,
        licence="; ".join(licences) or None,
        code_language=language or _other(said),
    )


def _untagged(text: str) -> tuple[str, dict[str, str]]:
    """A file without the tags that StarCoderData puts in front of some, and what these say."""
    found = _TAGS.match(text)
    return (text[found.end() :], dict(_TAG.findall(found[0]))) if found else (text, {})


def _language(said: Mapping[str, Any], path: str) -> str | None:
    """The language that the row names, else that of its file's name."""
    if isinstance(said["language"], str) and said["language"].strip():
        return named_language(said["language"])
    return language_of_file(path or f"file.{str(said['ending'] or '').lstrip('.')}")


def _other(said: Mapping[str, Any]) -> str | None:
    """The name of a language that is not in the list, as the row has it."""
    return str(said["language"]).strip().lower() or None if said["language"] else None


def _licences(said: Mapping[str, Any]) -> list[str]:
    given = said["licences"]
    names = given if isinstance(given, list) else [given] if isinstance(given, str) else []
    return [name.strip() for name in names if isinstance(name, str) and name.strip()]


def _against_language(language: str | None, options: CodeOptions) -> str | None:
    if language is None:
        return None if options.other_languages == "keep" else "language not in the list"
    return None if options.languages is None or language in _named(options.languages) else "language not wanted"


def _against_licences(licences: list[str], kind: str, options: CodeOptions) -> str | None:
    """All licences of a file must be wanted ones: what several ask for holds at once."""
    if not licences:
        permissive = kind == "permissive" and options.licences is None
        return None if permissive or options.without_licence == "keep" else "no licence"
    return None if all(name.lower() in options.wanted_licences for name in licences) else "licence not wanted"


def _against_path(path: str, said: Mapping[str, Any], options: CodeOptions) -> str | None:
    lower = path.lower()
    if lower.endswith(tuple(options.minified_endings)):
        return "minified file"
    if said["vendored"] is True or set(options.vendored_folders) & set(lower.split("/")[:-1]):
        return "vendored file"
    return "generated file" if said["generated"] is True else None


def _against_text(text: str, language: str | None, options: CodeOptions) -> str | None:
    n_bytes = len(text.encode())
    if n_bytes < options.min_bytes or not text.strip():
        return "empty or too small"
    if n_bytes > options.max_bytes:
        return "too large"
    broken = (rule.name for rule in options.rules if rule.is_broken(text, language))
    marked = (marker.name for marker in options.markers if marker.is_in(text, language))
    return next(broken, None) or next(marked, None)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _url(repository: str, path: str, revision: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return ""
    return f"https://github.com/{repository}" + (f"/blob/{revision or 'HEAD'}/{path.lstrip('/')}" if path else "")


def _concerns(languages: tuple[str, ...], excepted: tuple[str, ...], language: str | None) -> bool:
    return (not languages or language in _named(languages)) and language not in _named(excepted)


def _named(languages: tuple[str, ...]) -> set[str]:
    return {named_language(name) or name for name in languages}


def _check_languages(names: Sequence[str]) -> None:
    for name in names:
        if named_language(name) is None:
            raise ValueError(
                f"no language {name!r} in the list; it has {', '.join(sorted(set(language_names().values())))}"
            )


KIND: Final = Kind(
    name="code",
    options=CodeOptions,
    accepted=Accepted(pattern=PATTERN, said=SAID),
    splits=splits,
    libraries=("lxml",),
    check=check,
    documents=read,
)
