from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

import schedule
from mixtures.permute import Permutation
from mixtures.spec import Mixture, load_mixture
from mixtures.stream import Stream


@pytest.fixture(scope="module")
def whole() -> Stream:
    """The published schedule over 10⁵ shards."""
    mixture = load_mixture("falcon2-11b")
    return schedule.opened(mixture, schedule.table(mixture, 100_000))


@pytest.fixture(scope="module")
def small() -> Mixture:
    """The same with a few of the tokens."""
    mixture = load_mixture("falcon2-11b")
    return replace(
        mixture, stages=tuple(replace(stage, tokens=stage.tokens // (4 * 10**6)) for stage in mixture.stages)
    )


def test_each_stage_is_over_its_budget_by_less_than_a_sequence(whole: Stream) -> None:
    assert [row["budget"] for row in schedule.stages(whole)] == [4500 * 10**9, 250 * 10**9, 250 * 10**9, 500 * 10**9]
    for index, (row, stage) in enumerate(zip(schedule.stages(whole), whole.schedule.mixture.stages, strict=True)):
        assert 0 <= row["over"] < row["context"]
        drawn = whole.schedule.sequences(index)
        assert sum(drawn.values()) == row["sequences"]
        for name, share in whole.schedule.mixture.shares(stage).items():
            assert abs(drawn[name] - share * row["sequences"]) < 1


def test_the_ends_of_the_published_stages_lie_within_their_files(whole: Stream) -> None:
    for span in whole.spans:
        for position in (span.first, span.end - 1):
            component, _, epoch, places = schedule.seek(whole, position)
            assert sum(end - first for _, first, end in places) == span.context + 1
            assert all(whole.span_of(name, 0)[0] <= first < end for name, first, end in places)
            assert epoch < whole.schedule.mixture.component(component).max_epochs


def test_seeking_agrees_with_counting_from_the_start(small: Mixture) -> None:
    """Every position, so the first and the last of each stage as well."""
    catalogue = schedule.table(small, 300)
    stream = schedule.opened(small, catalogue)
    assert len(set(stream.schedule.spans)) == 4
    tokens = {component.name: training_tokens(catalogue, component.tokens[0], small) for component in small.components}
    counts: dict[tuple[str, int], int] = {}
    position = 0
    for stage in small.stages:
        for name in chairmen(small.shares(stage), stage.sequences):
            n = (len(tokens[name]) - 1) // stage.context
            epoch, turn = divmod(counts.get((name, stage.context), 0), n)
            counts[name, stage.context] = epoch * n + turn + 1
            window = Permutation(n, (small.seed, name, stage.context, epoch)).forward(turn)
            places = tokens[name][window * stage.context : (window + 1) * stage.context + 1]
            found = schedule.seek(stream, position)
            assert found[:3] == (name, window, epoch)
            listed = [(file, token) for file, first, end in found[3] for token in range(first, end)]
            assert listed == [(f"{small.component(name).tokens[0]}/part-{f:05}.tokens", t) for f, t in places.tolist()]
            position += 1
    assert position == len(stream)


def training_tokens(catalogue: Any, folder: str, mixture: Mixture) -> np.ndarray:
    """File and place of every token to train on, one after another: int [tokens, 2]."""
    sizes = [shard.tokens for shard in catalogue.folders[folder]]
    places = np.concatenate([np.stack([np.full(n, file), np.arange(n)], axis=1) for file, n in enumerate(sizes)])
    kept = len(places) - ceil(len(places) * mixture.held_out)
    begins = [i for i, place in enumerate(places[:, 1].tolist()) if place % schedule.DOCUMENT_TOKENS == 0]
    return places[: max(begin for begin in begins if begin <= kept)]


def chairmen(shares: dict[str, Fraction], length: int) -> list[str]:
    """Tijdeman's rule as his proof states it, in fractions, one chairman after another."""
    slack = Fraction(1, 2 * len(shares) - 2)
    counts, found = dict.fromkeys(shares, 0), []
    for time in range(1, length + 1):
        released = [name for name, share in shares.items() if time * share >= counts[name] + slack]
        name = min(released, key=lambda name: int((counts[name] + 1 - slack) / shares[name]) + 1)
        counts[name] += 1
        found.append(name)
    return found
