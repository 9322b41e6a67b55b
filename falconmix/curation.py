"""The commands of the curation arm: curate, report, why, clean, doctor."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path

from falconmix import deduplication
from falconmix.commands import Commands, add, add_engine, add_json, print_json


def add_commands(commands: Commands) -> None:
    """Declare the commands of this arm."""
    _add_curate(commands)
    _add_report(commands)
    _add_why(commands)
    _add_clean(commands)
    _add_doctor(commands)


def _add_curate(commands: Commands) -> None:
    command = add(
        commands,
        "curate",
        _curate,
        "turn WARC files into RefinedWeb-English and RefinedWeb-Europe",
        "falconmix curate CC-MAIN-2023-40/*.warc.gz --output out --workers 16",
    )
    command.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="WARC file, documents (.jsonl, .parquet), or a folder of such"
    )
    command.add_argument("--replay", type=Path, metavar="OUT", help="decide a finished run again, without extracting")
    command.add_argument("--reread", action="store_true", help="with --replay: read pages again that are undecided")
    command.add_argument("--output", required=True, type=Path, metavar="OUT", help="folder of the run")
    command.add_argument(
        "--recipe",
        default="refinedweb",
        metavar="NAME|FILE",
        help="refinedweb (default), fineweb, fineweb2-europe, c4, or a .yaml file",
    )
    command.add_argument("--language", nargs="+", default=(), metavar="xx", help="keep these languages only")
    command.add_argument(
        "--index", type=Path, metavar="DIR", help="index of earlier dumps: their copies are removed, this one is added"
    )
    command.add_argument("--restart", action="store_true", help="discard what OUT holds and begin anew")
    command.add_argument("--strict", action="store_true", help="exit 1 where a part of an input could not be read")
    add_engine(command)
    add_json(command)


def _curate(options: argparse.Namespace) -> int:
    from pipeline import recipe
    from pipeline.curate import CurateJob, curate
    from pipeline.errors import UsageError
    from pipeline.progress import Terminal
    from pipeline.ray_engine import RayEngine

    if bool(options.inputs) == bool(options.replay):
        raise UsageError("give either INPUT files or --replay OUT")
    if options.reread and not options.replay:
        raise UsageError("--reread goes with --replay OUT; INPUT files are read anyway")
    if options.index and options.replay:
        raise UsageError("--index goes with INPUT files: a replay would find its own pages in it")
    job = CurateJob(
        inputs=tuple(options.inputs),
        replay=options.replay and options.replay.absolute(),
        reread=options.reread,
        output=options.output.absolute(),
        index=options.index and options.index.absolute(),
        recipe=recipe.load(options.recipe, tuple(options.language)),
        restart=options.restart,
        strict=options.strict,
    )
    progress = Terminal(job.recipe.steps)
    try:
        summary = curate(job, functools.partial(RayEngine, options.workers, options.address, options.stop), progress)
    finally:
        progress.close()
    _show(options, summary)
    return 0


def _add_report(commands: Commands) -> None:
    command = add(
        commands, "report", _report, "print a run's removal funnel and rebuild its page", "falconmix report out"
    )
    command.add_argument("output", type=Path, metavar="OUT", help="folder of a finished run")
    add_json(command)


def _report(options: argparse.Namespace) -> int:
    from pipeline.corpus.why import is_corpus_run
    from pipeline.report import render_corpus
    from pipeline.run import open_finished
    from pipeline.summary import read_summary, write_report

    store = open_finished(options.output)
    summary = read_summary(store)
    if is_corpus_run(options.output):
        write_report(store, summary, render_corpus)
        deduplication.show(options, summary)
    else:
        write_report(store, summary)
        _show(options, summary)
    return 0


def _show(options: argparse.Namespace, summary: dict[str, object]) -> None:
    if options.json:
        print_json(summary)
        return
    from pipeline.report import print_funnel

    print_funnel(summary)
    print(f"\nreport: {options.output / 'report' / 'index.html'}")


def _add_why(commands: Commands) -> None:
    command = add(commands, "why", _why, "say what became of a page", "falconmix why out https://example.org/page.html")
    command.add_argument("output", type=Path, metavar="OUT", help="folder of a finished run")
    command.add_argument(
        "page", metavar="URL|ID", help="the page's URL, in any spelling, or its id; of a run of `dedup`, FILE:ROW"
    )
    add_json(command)


def _why(options: argparse.Namespace) -> int:
    from pipeline import why as of_curation
    from pipeline.corpus import why as of_corpus

    of = of_corpus if of_corpus.is_corpus_run(options.output) else of_curation
    entries = of.why(options.output, options.page)
    if options.json:
        print_json(entries)
    elif entries:
        print("\n\n".join(of.describe(entry) for entry in entries))
    if not entries:
        print(f"falconmix why: {options.page}: in no input of this run", file=sys.stderr)
    return 0 if entries else 1


def _add_clean(commands: Commands) -> None:
    command = add(
        commands, "clean", _clean, "free a finished run's work/; what is published stays", "falconmix clean out"
    )
    command.add_argument("output", type=Path, metavar="OUT", help="folder of a finished run")


def _clean(options: argparse.Namespace) -> int:
    from pipeline.run import clean

    freed_bytes = clean(options.output)
    print(f"{options.output}: {freed_bytes / 1e6:,.1f} MB freed; adding inputs later extracts all of them again")
    return 0


def _add_doctor(commands: Commands) -> None:
    command = add(
        commands, "doctor", _doctor, "examine the machine, the optional parts and the credentials", "falconmix doctor"
    )
    command.add_argument("--output", type=Path, default=Path(), metavar="OUT", help="where output would go")
    add_json(command)


def _doctor(options: argparse.Namespace) -> int:
    from falconmix.doctor import as_json, examine, is_fit

    findings = examine(options.output, os.environ)
    if options.json:
        print_json(as_json(findings))
    else:
        marks = {"ok": "✓", "missing": "–", "problem": "✗"}
        for finding in findings:
            print(f"{marks[finding.state]} {finding.topic:<18} {finding.text}")
    return 0 if is_fit(findings) else 1
