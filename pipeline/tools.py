"""The opened tools of a worker process: filters, models and the guarded child, kept from one unit to the next."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from pipeline.guard import Guard
from pipeline.models import banned_words, language_model_file, open_block_table
from pipeline.page_worker import PageSettings
from pipeline.recipe import Recipe
from pipeline.removals import record_names, removed_from
from pipeline.store import Store
from stages.captures import gate
from stages.cascade import TAKEDOWN, Step
from stages.decide import TextRules
from stages.stop_words import load_stop_words
from stages.takedown import filter_takedown
from stages.urls import BlockList, UrlTables, builtin_words, filter_urls


@dataclass(frozen=True, kw_only=True)
class Tools:
    """All that a unit's work needs.

    gates: filters on the capture alone. guard: the process that reads pages. text: filters on the extracted text.
    """

    recipe: Recipe
    gates: tuple[Step, ...]
    guard: Guard
    text: TextRules


_opened: dict[tuple[Path, str, int], Tools] = {}


def open_tools(recipe: Recipe, output: Path, fingerprint: str) -> Tools:
    """The tools of a run, opened once per process."""
    key = (output, fingerprint, len(record_names(Store(output))))
    if key not in _opened:
        for tools in _opened.values():
            tools.guard.close()
        _opened.clear()
        _opened[key] = _open(recipe, Store(output))
    return _opened[key]


def _open(recipe: Recipe, store: Store) -> Tools:
    tables = UrlTables(block_list=BlockList(open_block_table(store)), words=builtin_words() | banned_words())
    listed = removed_from(store)
    takedown = [Step(TAKEDOWN, functools.partial(filter_takedown, listed=listed))] if listed else []
    settings = PageSettings(rules=recipe.page_rules, language_model=language_model_file(recipe))
    return Tools(
        recipe=recipe,
        gates=(
            *takedown,
            Step("capture", functools.partial(gate, rules=recipe.capture)),
            Step("url_filter", functools.partial(filter_urls, rules=recipe.url.rules, tables=tables)),
        ),
        guard=Guard("pipeline.page_worker:open_reader", settings, recipe.guard),
        text=text_rules(recipe),
    )


def text_rules(recipe: Recipe) -> TextRules:
    """What the recipe does to an extracted text."""
    return TextRules(
        language=recipe.language_rules,
        stop_words=load_stop_words(recipe.stop_words),
        opt_out=recipe.opt_out,
        **recipe.rule_sets,
        c4=recipe.c4,
        lines=recipe.lines,
        personal_data=recipe.personal_data,
    )
