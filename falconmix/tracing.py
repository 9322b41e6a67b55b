"""What `falconmix trace` prints: the documents of a step with where they came from, or the steps of a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from falconmix.commands import print_json
from falconmix.token_root import token_root
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from mixtures.trace import Origin, Seen
    from trainer.data import Step
    from trainer.layout import Process
    from trainer.trace import Run

_SHOWN_STEPS = 20


def trace_step(options: argparse.Namespace) -> int:
    """Print the documents of a step, those with most tokens first."""
    from trainer.trace import Run

    run = Run.open(options.folder, partial(token_root, options))
    step, process = run.step(options.step), _process(options, run)
    if not options.passed_over:
        documents = run.documents(step, process)
        if options.json:
            print_json(_step_facts(run, step, documents))
        else:
            _print_step(run, step, process, documents)
        return 0
    times = [(reason, was.documents(step, process)) for reason, was in run.gone_back_from(options.step)]
    if options.json:
        print_json([_step_facts(run, step, documents) | {"reason": reason} for reason, documents in times])
    for reason, documents in () if options.json else times:
        print(f"passed over: {reason}")
        _print_step(run, step, process, documents)
    return 0


def _print_step(run: Run, step: Step, process: Process, documents: Sequence[Seen]) -> None:
    stage = run.stream.spans[step.stage]
    of = f", process {process.rank} of {process.world}" if process.world > 1 else ""
    print(
        f"step {step.number:,} ({stage.name}{of}): sequences {step.first:,} to {step.end - 1:,} of {step.context:,} "
        f"tokens, {len(documents):,} documents"
    )
    for document in documents:
        print(_line(document))


def trace_url(options: argparse.Namespace) -> int:
    """Print the steps in which a page is seen; 1 where no token file holds it."""
    from pipeline.lookup import url_key
    from stages.urls import canonical
    from trainer.trace import Run

    if options.rank is not None or options.world is not None or options.passed_over:
        raise UsageError("--rank, --world and --passed-over go with --step; leave them out with --url")
    run = Run.open(options.folder, partial(token_root, options))
    found = list(run.sightings(options.url, url_key, lambda ours, asked: canonical(ours) == canonical(asked)))
    if options.json:
        print_json([asdict(sighting) | {"steps": steps} for sighting, steps in found])
    elif not found:
        print(f"{options.url}: in none of the run's token files; `falconmix why OUT URL` says what became of the page")
    for sighting, steps in () if options.json else found:
        print(f"{sighting.id}  {sighting.component}  {_origin(sighting.origin)}")
        print(f"  {_steps(steps)}")
    return 0 if found else 1


def _process(options: argparse.Namespace, run: Run) -> Process:
    from trainer.layout import Process

    if options.rank is None:
        if options.world is not None:
            raise UsageError("--world says of how many processes --rank is one; give --rank, or leave it out")
        return Process()
    world = options.world or run.world
    if world is None:
        raise UsageError("--rank: the run has no checkpoint that would say how many processes there are; give --world")
    if not 0 <= options.rank < world:
        raise UsageError(f"--rank {options.rank}: there are {world} processes, 0 to {world - 1}; give one of them")
    return run.process(options.rank, world)


def _step_facts(run: Run, step: Step, documents: Sequence[Seen]) -> dict[str, Any]:
    stage = run.stream.spans[step.stage]
    return {
        "step": step.number,
        "stage": stage.name,
        "context": step.context,
        "first": step.first,
        "end": step.end,
        "documents": [asdict(document) for document in documents],
    }


def _line(document: Seen) -> str:
    tokens = f"{document.share:>7.2%} {document.tokens:>9,}"
    return f"{tokens}  {document.component}  {document.id}  {_origin(document.origin)}"


def _origin(origin: Origin) -> str:
    place = origin.url or "(no URL)"
    if origin.warc_path is not None and origin.warc_offset is not None and origin.warc_length is not None:
        end = origin.warc_offset + origin.warc_length
        place += f"  {origin.warc_path} bytes {origin.warc_offset:,} to {end - 1:,}"
    return place


def _steps(steps: Sequence[int]) -> str:
    if not steps:
        return "in no step: held out, not chosen by the recipe, or in a window that is not drawn"
    more = f" and {len(steps) - _SHOWN_STEPS:,} more" if len(steps) > _SHOWN_STEPS else ""
    return f"in {len(steps):,} step(s): {', '.join(f'{step:,}' for step in steps[:_SHOWN_STEPS])}{more}"
