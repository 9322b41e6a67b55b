"""What was drawn, counted sequence by sequence, against the certificate."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from unittest import mock

import pytest

from mixtures import certificate
from mixtures.certificate import drawn
from mixtures.log import Change
from mixtures.roots import Folder
from mixtures.run import OpenFiles
from mixtures.schedule import Schedule
from mixtures.spec import Mixture, load_mixture
from mixtures.stream import Stream
from mixtures.supply import Supply, open_supplies
from tests.trainer.corpus import write_recipe, write_tokens

FOLDERS = ("[RefinedWeb-Europe/lang=*]", "['*', RefinedWeb-Europe/lang=*]")
"""Europe then holds five token folders, which its windows cross."""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("tokens"), documents_per_folder=12)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    recipe = write_recipe(tmp_path_factory.mktemp("recipe"), FOLDERS)
    return load_mixture(recipe.parent / "mixture.yaml")


def counted(mixture: Mixture, tokens: Path, position: int) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Targets of the sequences before `position`, one by one: by component, and by component and folder."""
    stream, components, folders = Stream.open(mixture, tokens), Counter[str](), Counter[tuple[str, str]]()
    for place in range(position):
        sequence = stream.sequence(place)
        components[sequence.component] += len(sequence.tokens) - 1
        for part in stream.documents(place):
            # The first token of a window is read, not predicted.
            folders[sequence.component, part.file.rpartition("/")[0]] += part.end - max(part.first, 1)
    return components, folders


def supplies_of(mixture: Mixture, tokens: Path) -> Mapping[str, Supply]:
    return open_supplies(Schedule(mixture), OpenFiles(Folder(tokens)))[1]


@pytest.mark.parametrize("position", [0, 1, 77, 125, 126, 160, 208])
def test_it_counts_what_is_drawn_sequence_by_sequence(mixture: Mixture, tokens: Path, position: int) -> None:
    components, folders = counted(mixture, tokens, position)
    found = drawn(Schedule(mixture), position, supplies_of(mixture, tokens))
    assert {d.component: d.tokens for d in found} == dict(components)
    told = {(d.component, f): n for d in found for f, n in (d.folders or {}).items() if n}
    assert told == dict(folders)
    assert sum(d.sequences for d in found) == position


def test_several_epochs_and_windows_that_cross_folders_are_among_them(mixture: Mixture, tokens: Path) -> None:
    (europe,) = (d for d in drawn(Schedule(mixture), 208, supplies_of(mixture, tokens)) if d.component == "Europe")
    assert europe.folders is not None
    assert len([n for n in europe.folders.values() if n]) == 5
    (code,) = (d for d in drawn(Schedule(mixture), 208, supplies_of(mixture, tokens)) if d.component == "code")
    assert code.epochs is not None
    assert code.available is not None
    assert code.epochs == code.tokens / code.available


@pytest.mark.parametrize("tokens_of_stage", [1_300, 40_000])
def test_whole_epochs_count_each_window_once(tokens: Path, tmp_path: Path, tokens_of_stage: int) -> None:
    recipe = write_recipe(tmp_path, FOLDERS, ("context: 64, tokens: 1_300", f"context: 64, tokens: {tokens_of_stage}"))
    mixture = load_mixture(recipe.parent / "mixture.yaml")
    position = mixture.sequences
    components, folders = counted(mixture, tokens, position)
    found = drawn(Schedule(mixture), position, supplies_of(mixture, tokens))
    assert {d.component: d.tokens for d in found} == dict(components)
    assert {(d.component, f): n for d in found for f, n in (d.folders or {}).items() if n} == dict(folders)


def test_what_the_log_passes_over_is_not_drawn_and_new_weights_are_followed(mixture: Mixture, tokens: Path) -> None:
    changes = (
        Change(at=20, reason="spike", skip=13),
        Change(at=60, reason="more", weights={"Europe": Fraction(3), "code": Fraction(1)}, out_of=Fraction(4)),
    )
    changed = replace(mixture, changes=changes)
    for position in (20, 45, 100, 208):
        components, folders = counted(changed, tokens, position)
        found = drawn(Schedule(changed), position, supplies_of(changed, tokens))
        assert {d.component: d.tokens for d in found} == dict(components)
        assert {(d.component, f): n for d in found for f, n in (d.folders or {}).items() if n} == dict(folders)


def test_without_token_files_or_with_too_many_windows_totals_stay_exact(mixture: Mixture, tokens: Path) -> None:
    supplies = supplies_of(mixture, tokens)
    exact = {d.component: d.tokens for d in drawn(Schedule(mixture), 150, supplies)}
    bare = drawn(Schedule(mixture), 150)
    assert {d.component: d.tokens for d in bare} == exact
    assert {(d.available, d.folders, d.epochs) for d in bare} == {(None, None, None)}
    with mock.patch.object(certificate, "MOST_COUNTED", 3):
        found = {d.component: d for d in drawn(Schedule(mixture), 150, supplies)}
    assert {name: d.tokens for name, d in found.items()} == exact
    assert found["Europe"].folders is None  # five folders, more than three windows
    assert found["English"].folders == {"RefinedWeb-English": exact["English"]}
