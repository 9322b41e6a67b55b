"""The options of `falconmix tokenize` that keep evaluation sets out of the training data, and what it says of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixtures.decontamination.decontaminate import Decontamination


def add_options(command: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = command.add_argument_group("decontamination")
    group.add_argument(
        "--decontaminate",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="evaluation sets (jsonl, parquet, txt): documents that share n-grams of words with them are taken out",
    )
    group.add_argument(
        "--on-hit",
        choices=("drop", "mask"),
        default="drop",
        help="drop: no tokens of the document (default); mask: they stay in their places and the loss passes over them",
    )
    group.add_argument("--ngram", type=int, default=13, metavar="N", help="words of an n-gram (default 13)")
    group.add_argument(
        "--least", type=int, metavar="N", help="words of the shortest item looked for, as a whole (default 8)"
    )
    group.add_argument(
        "--min-hits", type=int, default=1, metavar="N", help="hits from which on a document is taken out (default 1)"
    )
    group.add_argument(
        "--evaluation-column",
        action="append",
        default=[],
        metavar="NAME",
        help="take text from this column of the evaluation sets; may be repeated (default: from all)",
    )


def settings_of(options: argparse.Namespace) -> Decontamination | None:
    """What the options ask for, or None. Raises InputError, also for a damaged evaluation set, before any work."""
    from mixtures.decontamination.decontaminate import open_decontaminator, plan_decontamination

    if not options.decontaminate:
        return None
    settings = plan_decontamination(
        options.decontaminate,
        columns=options.evaluation_column,
        ngram=options.ngram,
        least=options.least,
        min_hits=options.min_hits,
        on_hit=options.on_hit,
    )
    open_decontaminator(settings)
    return settings


def summary(settings: Decontamination, token_files: Iterable[Path]) -> dict[str, Any]:
    """What was looked for, and what was found in these shards, for programs."""
    from mixtures.decontamination.decontaminate import open_decontaminator
    from mixtures.decontamination.hits import hits_path, tally

    found = tally(hits_path(path) for path in token_files)
    evaluation = {
        covered.file: {
            "items": covered.items,
            "unusable": list(covered.unusable),
            "documents": found.by_file.get(covered.file, 0),
        }
        for covered in open_decontaminator(settings).coverage
    }
    return {
        "ngram": settings.ngram,
        "least": settings.least,
        "min_hits": settings.min_hits,
        "on_hit": settings.on_hit,
        "documents": found.by_action,
        "items": found.items,
        "evaluation": evaluation,
    }


def summary_lines(summary: dict[str, Any]) -> list[str]:
    """The same for people."""
    words = {"drop": "dropped", "mask": "masked", "keep": f"kept with fewer than {summary['min_hits']} hits"}
    counts = [f"{n:,} {words[action]}" for action, n in summary["documents"].items()]
    lines = [f"decontamination, {summary['ngram']} words: {', '.join(counts) or 'nothing found'}"]
    for name, file in summary["evaluation"].items():
        line = f"  {name:<32} {file['items']:>9,} items, shared with {file['documents']:,} document(s)"
        if file["unusable"]:
            line += f"; {len(file['unusable']):,} of fewer than {summary['least']} words not looked for"
        lines.append(line)
    return lines
