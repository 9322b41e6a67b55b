"""The commands of deduplication alone: dedup, dedup-plan."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from falconmix.commands import Commands, add, add_engine, add_json, print_json


def add_commands(commands: Commands) -> None:
    """Declare the commands of deduplication."""
    _add_dedup(commands)
    _add_plan(commands)


def _add_dedup(commands: Commands) -> None:
    command = add(
        commands,
        "dedup",
        _dedup,
        "deduplicate files of documents: parquet or JSON lines, with all their columns",
        "falconmix dedup corpus/*.parquet --output out --workers 16",
    )
    command.add_argument("inputs", nargs="+", metavar="FILE", help=".parquet or .jsonl[.gz|.zst], or a folder of such")
    command.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder of the run")
    command.add_argument("--text", default="text", metavar="COLUMN", help="column of the texts (text)")
    command.add_argument("--url", default="url", metavar="COLUMN", help="column of addresses, if there is one (url)")
    command.add_argument("--date", metavar="COLUMN", help="of copies the earliest stays; without it the first row does")
    command.add_argument(
        "--language", default="language", metavar="COLUMN", help="near-copies are sought within one (language)"
    )
    command.add_argument(
        "--recipe", default="refinedweb", metavar="NAME|FILE", help="its sections dedup, minhash and substrings count"
    )
    command.add_argument("--index", type=Path, metavar="DIR", help="index of earlier corpora: looked at, and added to")
    command.add_argument("--restart", action="store_true", help="discard what OUT holds and begin anew")
    add_engine(command)
    add_json(command)


def _dedup(options: argparse.Namespace) -> int:
    from pipeline import recipe
    from pipeline.corpus.files import Columns
    from pipeline.corpus.run import DedupJob, dedup
    from pipeline.progress import Terminal
    from pipeline.ray_engine import RayEngine

    job = DedupJob(
        inputs=tuple(options.inputs),
        output=options.output.absolute(),
        recipe=recipe.load(options.recipe),
        columns=Columns(text=options.text, url=options.url, date=options.date, language=options.language),
        index=options.index and options.index.absolute(),
        restart=options.restart,
    )
    progress = Terminal(())
    try:
        stats = dedup(job, functools.partial(RayEngine, options.workers, options.address), progress)
    finally:
        progress.close()
    show(options, stats)
    return 0


def show(options: argparse.Namespace, stats: dict[str, Any]) -> None:
    """Print what each step left and removed, and where the rest is."""
    if options.json:
        print_json(stats)
        return
    for step in stats["funnel"]:
        print(f"{step['stage']:<12} {step['out']:>14,} left  {step['in'] - step['out']:>12,} removed")
    print(f"{stats['spans']:,} passages cut")
    print(f"\ndocuments: {options.output / 'documents'}\nreport: {options.output / 'report' / 'index.html'}")


def _add_plan(commands: Commands) -> None:
    command = add(
        commands,
        "dedup-plan",
        _plan,
        "list MinHash geometries with recall, false candidates and bytes per document",
        "falconmix dedup-plan --threshold 0.8",
    )
    command.add_argument(
        "--threshold", required=True, type=float, metavar="J", help="Jaccard similarity from which on a pair is wanted"
    )
    command.add_argument(
        "--recall", type=float, default=0.99, metavar="P", help="least share of pairs at J to find (default: 0.99)"
    )
    add_json(command)


def _plan(options: argparse.Namespace) -> int:
    from falconmix.dedup_plan import plan

    figures = plan(options.threshold, options.recall)
    if options.json:
        print_json(figures)
    else:
        print(_table(figures))
    return 0


def _table(figures: dict[str, Any]) -> str:
    shown = [at for at in figures["geometries"][0]["curve"] if float(at) < figures["threshold"]][-3:]
    headings = ("geometry", "bands", "rows", "functions", *(f"J={at}" for at in shown), "recall", "false", "bytes")
    rows = [headings]
    for choice in figures["geometries"]:
        at = [f"{choice['curve'][similarity]:.4f}" for similarity in shown]
        sizes = [f"{choice[key]:,}" for key in ("bands", "rows", "hash_functions")]
        shares = [f"{choice['recall']:.4f}", f"{choice['false_candidates']:.1%}"]
        rows.append((choice["name"], *sizes, *at, *shares, f"{choice['bytes_per_document']:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    notes = (
        f"recall: share of the pairs at J={figures['threshold']:g} that become candidates; J=…: of those at others",
        f"false: share of the candidates below it, with {figures['prior']}",
        "bytes: of a document in an index, 8 for each band key and 512 for the sketch; functions: hashes to compute",
        *figures["notes"],
    )
    return "\n".join([*lines, "", *notes])


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
