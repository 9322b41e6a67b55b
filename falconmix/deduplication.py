"""The commands of deduplication alone: dedup-plan."""

from __future__ import annotations

import argparse
from typing import Any

from falconmix.commands import Commands, add, add_json, print_json


def add_commands(commands: Commands) -> None:
    """Declare the commands of deduplication."""
    _add_plan(commands)


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
