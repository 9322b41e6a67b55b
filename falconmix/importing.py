"""The command for curated corpora: import."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from falconmix.commands import Commands, add, add_engine, add_json, print_json


def add_commands(commands: Commands) -> None:
    """Declare the commands of this part."""
    command = add(
        commands,
        "import",
        _import,
        "bring a curated corpus into the document schema",
        "falconmix import stackexchange dumps/math.stackexchange.com/Posts.xml --output corpora/math",
    )
    command.add_argument(
        "kind",
        metavar="KIND",
        help="stackexchange, arxiv, code, conversations, encyclopedia, books or plain (any texts in parquet or jsonl)",
    )
    command.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="files, or folders read recursively")
    command.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the parquet shards")
    command.add_argument("--recipe", type=Path, metavar="FILE", help="YAML with what differs from the kind's defaults")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one value of the recipe (may be repeated)"
    )
    command.add_argument("--restart", action="store_true", help="discard what DIR holds and begin anew")
    command.add_argument("--strict", action="store_true", help="exit 1 where something in the inputs was damaged")
    add_engine(command)
    add_json(command)


def _import(options: argparse.Namespace) -> int:
    from falconmix.import_run import run_import
    from mixtures.sources.job import plan_import
    from pipeline.progress import Terminal
    from pipeline.ray_engine import RayEngine

    job = plan_import(
        options.kind,
        [path.absolute() for path in options.inputs],
        options.output.absolute(),
        recipe=options.recipe,
        settings=options.set,
    )
    engine = functools.partial(RayEngine, options.workers, options.address, options.stop)
    progress = Terminal(())
    try:
        report, state = run_import(job, engine, progress, restart=options.restart)
    finally:
        progress.close()
    if options.json:
        print_json(report)
    else:
        print("\n".join(_lines(report, state == "finished", options.output)))
    return 1 if options.strict and report["counts"]["damaged"] else 0


def _lines(report: dict[str, Any], finished_earlier: bool, output: Path) -> Iterator[str]:
    counts = report["counts"]
    if finished_earlier:
        yield f"{output}: this import is finished; nothing to do"
    yield (
        f"{counts['records']:,} records in {len(report['inputs']):,} input(s), "
        f"{counts['documents']:,} documents of {counts['records_used']:,} of them, "
        f"{counts['text_bytes']:,} bytes of text"
    )
    if counts["repeated_bytes"]:
        yield f"  {counts['repeated_bytes']:,} of these bytes repeat an earlier thread (column repeated_prefix)"
    for heading in ("dropped", "damaged", "noted"):
        for reason, n_records in sorted(counts[heading].items(), key=lambda item: (-item[1], item[0])):
            yield f"  {heading:<8} {n_records:>14,}  {reason}"
    for example in counts["examples"][:3]:
        yield f"    {example}"
    yield f"{len(report['shards']):,} shard(s) and import.json: {output}"
