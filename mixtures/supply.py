"""What a component holds: its token folders as one array, less the documents held out for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import PurePosixPath
from typing import Final

import numpy as np

from mixtures.catalogue import CATALOGUE, Catalogue, Shard, read_catalogue_file
from mixtures.components import Component
from mixtures.document_index import check_index, documents_path, last_id_end_at
from mixtures.errors import SupplyError, TokenFileError, TokenizerError
from mixtures.plans import PlanFolder
from mixtures.roots import TokenRoot
from mixtures.run import PIECE, OpenFiles, Pieces, TokenRun
from mixtures.spec import Mixture
from mixtures.tokens import MEND, Header, parse_header
from mixtures.windows import Concatenated, Windows

_AT_ONCE: Final = 32
"""Headers that are read at once before training: each waits for a disk or a network, none needs a processor."""


@dataclass(frozen=True, kw_only=True)
class Supply:
    """All tokens of one component."""

    component: Component
    train: TokenRun
    held_out: TokenRun
    has_skipped: bool
    """Whether the loss passes over some of the tokens."""
    plan: PlanFolder
    packing: str

    def windows(self, context: int) -> Windows:
        """How the component is cut into windows of `context` tokens. Raises TokenFileError without the plan for it."""
        if self.packing == "best_fit":
            return self.plan.windows(context)
        return Concatenated(tokens=len(self.train), context=context)


def open_supplies(mixture: Mixture, opened: OpenFiles, *, planned: bool = True) -> tuple[Catalogue, dict[str, Supply]]:
    """Find and check the token files of every component that is drawn from.

    Without `planned`, components are taken whole, whatever their conditions: for who makes the plans. Raises
    TokenFileError, TokenizerError, and SupplyError for a component without tokens.
    """
    root = opened.root
    try:
        catalogue = read_catalogue_file(root.local(CATALOGUE))
    except FileNotFoundError:
        raise TokenFileError(
            f"{root.shown(CATALOGUE)}: no such object; give the place to which all that `falconmix tokenize` wrote was "
            "copied"
        ) from None
    folders = {folder for component in drawn_from(mixture) for folder in matching_folders(component, catalogue, root)}
    check_shards(sorted(folders), catalogue, root)
    return catalogue, supplies_of(mixture, catalogue, opened, planned=planned)


def supplies_of(
    mixture: Mixture, catalogue: Catalogue, opened: OpenFiles, *, planned: bool = True
) -> dict[str, Supply]:
    """The supplies by a catalogue alone: of the token files, only the document indexes of those cut in two are read.

    Raises SupplyError, TokenFileError.
    """
    supplies = {}
    for component in drawn_from(mixture):
        folders = matching_folders(component, catalogue, opened.root)
        supplies[component.name] = _supply(component, folders, mixture, catalogue, opened, planned)
    return supplies


def drawn_from(mixture: Mixture) -> list[Component]:
    """The components that some stage, or the log, gives a weight."""
    wanted = {name for stage in mixture.stages for name in mixture.shares(stage)}
    wanted |= {name for change in mixture.changes for name in mixture.shares(change)}
    return [component for component in mixture.all_components if component.name in wanted]


def matching_folders(component: Component, catalogue: Catalogue, root: TokenRoot) -> list[str]:
    """The token folders of a component, in order. Raises SupplyError where a pattern matches none."""
    found: set[str] = set()
    for pattern in component.tokens:
        folders = catalogue.matching(pattern)
        if not folders:
            raise SupplyError(
                f"component {component.name!r}: no token folder matches {pattern!r} under {root.shown('')} (there are "
                f"{', '.join(sorted(catalogue.folders))}); tokenise it or take it out of the recipe"
            )
        found.update(folders)
    return sorted(found)


def check_shards(folders: Iterable[str], catalogue: Catalogue, root: TokenRoot) -> None:
    """Hold every token file against the catalogue. Raises TokenFileError, TokenizerError."""
    shards = [(folder, shard) for folder in folders for shard in catalogue.folders[folder]]
    with ThreadPoolExecutor(max(_AT_ONCE, root.at_once)) as pool:
        for _ in pool.map(lambda at: _check(f"{at[0]}/{at[1].file}", at[1], catalogue, root), shards):
            pass


def _supply(
    component: Component,
    folders: list[str],
    mixture: Mixture,
    catalogue: Catalogue,
    opened: OpenFiles,
    planned: bool,
) -> Supply:
    """Divide each folder into what is trained on and what is held out, and join each across the folders."""
    files = [f"{folder}/{shard.file}" for folder in folders for shard in catalogue.folders[folder]]
    shards = [shard for folder in folders for shard in catalogue.folders[folder]]
    plan = PlanFolder.of(component, folders, mixture, catalogue, opened.root)
    if component.where and planned:
        train, held_out = plan.pieces()
    else:
        train, held_out = _divided([catalogue.folders[folder] for folder in folders], files, mixture.held_out, opened)
    return Supply(
        component=component,
        train=TokenRun(files, train, opened),
        held_out=TokenRun(files, held_out, opened),
        has_skipped=any(shard.skipped for shard in shards),
        plan=plan,
        packing=mixture.packing,
    )


def _divided(
    folders: Sequence[tuple[Shard, ...]], files: Sequence[str], share: Fraction, opened: OpenFiles
) -> tuple[Pieces, Pieces]:
    """Pieces to train on and pieces held out, of all folders; files are numbered through them."""
    train, held_out, number = [], [], 0
    for shards in folders:
        pieces = np.zeros(len(shards), PIECE)
        pieces["file"] = np.arange(number, number + len(shards))
        pieces["end"] = [shard.tokens for shard in shards]
        number += len(shards)
        run = TokenRun(files, pieces, opened)
        before, after = split_pieces(pieces, run.starts, _first_held_out(run, share))
        train.append(before)
        held_out.append(after)
    return np.concatenate(train), np.concatenate(held_out)


def split_pieces(pieces: Pieces, starts: np.ndarray, token: int) -> tuple[Pieces, Pieces]:
    """Cut pieces, the first tokens of which have the numbers `starts`, before `token`; empty ones are left out."""
    number = int(np.searchsorted(starts, token, side="right")) - 1
    before, after = pieces[: number + 1].copy(), pieces[number:].copy()
    if number < len(pieces):
        cut = int(pieces[number]["first"]) + token - int(starts[number])
        before[-1]["end"] = after[0]["first"] = cut
    return (part[part["end"] > part["first"]] for part in (before, after))  # type: ignore[return-value]


def _first_held_out(run: TokenRun, share: Fraction) -> int:
    """Where the held-out documents of a folder begin: the last `share` of its tokens, rounded up to whole documents.

    The first document always stays in training.
    """
    n_held_out = ceil(len(run) * share)
    if n_held_out == 0:
        return len(run)
    first = run.document_start(len(run) - n_held_out)
    return first or run.parts(0, len(run))[0].end


def _check(name: str, shard: Shard, catalogue: Catalogue, root: TokenRoot) -> None:
    try:
        header = parse_header(root.shown(name), *root.head(name))
    except FileNotFoundError:
        raise TokenFileError(f"{root.shown(name)}: no such token file; {MEND}") from None
    if header.tokenizer != catalogue.tokenizer:
        raise TokenizerError(
            f"{root.shown(name)}: not made with the tokenizer of {CATALOGUE}; run `falconmix tokenize` again"
        )
    ours = (header.tokens, header.documents, header.skipped, header.job, header.vocab_size, header.eod_id)
    if ours != (shard.tokens, shard.documents, shard.skipped, shard.job, catalogue.vocab_size, catalogue.eod_id):
        raise TokenFileError(f"{root.shown(name)}: not the file that {CATALOGUE} names; run `falconmix tokenize` again")
    if header.skipped:  # what the loss passes over stands there, and is looked up with every sequence
        _check_index(documents_path(PurePosixPath(name)).as_posix(), header, root)


def _check_index(name: str, header: Header, root: TokenRoot) -> None:
    try:
        head, size = root.head(name)
        last_id_end = root.open(name).read(last_id_end_at(header), 8)
    except FileNotFoundError:
        raise TokenFileError(f"{root.shown(name)}: no such document index; {MEND}") from None
    check_index(header, head, last_id_end, size, shown=root.shown(name))
