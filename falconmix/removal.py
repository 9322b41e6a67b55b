"""The command of takedown: remove."""

from __future__ import annotations

import argparse
import functools
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from falconmix.commands import Commands, add, add_engine, add_json, print_json

_NAMED = 10
"""Entries that matched nothing, as many as are named on a terminal."""


def add_commands(commands: Commands) -> None:
    """Declare the command of takedown."""
    command = add(
        commands,
        "remove",
        _remove,
        "take pages out of a finished run and its index, or a dump out of an index",
        "falconmix remove out --urls takedown.txt\n  falconmix remove --index index --crawl CC-MAIN-2023-40",
    )
    command.add_argument("output", nargs="?", type=Path, metavar="OUT", help="folder of a finished run")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--urls", type=Path, metavar="FILE", help="addresses, one a line, in any spelling")
    what.add_argument("--domains", type=Path, metavar="FILE", help="domains, one a line; their subdomains go too")
    what.add_argument("--crawl", metavar="NAME", help="a dump, all of which leaves the index")
    command.add_argument(
        "--index", type=Path, metavar="DIR", help="index concerned (default: the one that OUT was made with)"
    )
    add_engine(command)
    add_json(command)


def _remove(options: argparse.Namespace) -> int:
    from pipeline.errors import UsageError

    if options.crawl is not None:
        if options.output or not options.index:
            raise UsageError("--crawl goes with --index DIR and without OUT; a run's pages go by --urls or --domains")
        return _remove_crawl(options)
    if options.output:
        return _from_run(options)
    if not options.index:
        raise UsageError("give OUT, the folder of a run, or --index DIR")
    if options.domains:
        raise UsageError(
            f"{options.index}: an index knows keys of addresses, no domains; give OUT with it, or list addresses with "
            "--urls"
        )
    return _from_index(options)


def _remove_crawl(options: argparse.Namespace) -> int:
    from pipeline.index import remove_crawl

    n_removed = remove_crawl(options.index.absolute(), options.crawl)
    if options.json:
        print_json({"crawl": options.crawl, "index_documents": n_removed})
    else:
        print(
            f"{options.index}: {n_removed:,} document(s) of {options.crawl!r} taken out; what they had removed stays so"
        )
    return 0


def _from_index(options: argparse.Namespace) -> int:
    from pipeline.index_removal import take_from_index
    from pipeline.removals import read_order

    outcome = take_from_index(options.index.absolute(), read_order(options.urls, "urls"))
    _tell(options, outcome)
    if not options.json:
        print(f"{options.index}: {outcome['index_documents']:,} document(s) taken out")
    return 0 if outcome["index_documents"] else 1


def _from_run(options: argparse.Namespace) -> int:
    from pipeline.progress import Terminal
    from pipeline.ray_engine import RayEngine
    from pipeline.removals import DOCUMENTS, read_order
    from pipeline.takedown import TakedownJob, take_down

    order = read_order(options.urls, "urls") if options.urls else read_order(options.domains, "domains")
    job = TakedownJob(
        output=options.output.absolute(),
        order=order,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        index=options.index and options.index.absolute(),
    )
    progress = Terminal(())
    try:
        outcome = take_down(job, functools.partial(RayEngine, options.workers, options.address, options.stop), progress)
    finally:
        progress.close()
    _tell(options, outcome)
    if not options.json:
        print(
            f"{options.output}: {outcome['pages']:,} page(s) taken out, {outcome['documents']:,} of them published; "
            f"out of the index {outcome['index_documents']:,} document(s)"
        )
        if outcome["documents"]:
            print(f"ids for the mixture to mask: {options.output / DOCUMENTS}")
    return 0 if outcome["pages"] or outcome["index_documents"] or outcome["removed_before"] else 1


def _tell(options: argparse.Namespace, outcome: dict[str, Any]) -> None:
    if options.json:
        print_json(outcome)
    elif before := outcome.get("removed_before"):
        print(f"{len(before):,} of {outcome['listed']:,} listed {outcome['kind']} were taken out before")
    if missing := outcome["not_found"]:
        more = f"\n  … and {len(missing) - _NAMED:,} more (--json names all)" if len(missing) > _NAMED else ""
        others = outcome.get("other_spellings", {})
        shown = [*others, *(entry for entry in missing if entry not in others)][:_NAMED]
        lines = "".join(f"\n  {entry}{_hint(others.get(entry))}" for entry in shown)
        print(
            f"falconmix remove: {len(missing):,} of {outcome['listed']:,} listed {outcome['kind']} match nothing:"
            f"{lines}{more}",
            file=sys.stderr,
        )


def _hint(others: list[str] | None) -> str:
    return f" (but there is {', '.join(others)})" if others else ""
