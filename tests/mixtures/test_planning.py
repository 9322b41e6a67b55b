"""Plans made beforehand: documents chosen by their columns, and best-fit windows; and the stream that reads them."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mixtures import best_fit
from mixtures.catalogue import survey, write_catalogue
from mixtures.errors import SupplyError, TokenFileError
from mixtures.holdings import holdings
from mixtures.plan import plan
from mixtures.planning import make_plans
from mixtures.spec import Mixture
from mixtures.stream import Stream
from mixtures.strict import load

EOD = 11
LENGTHS = [[40, 7, 0, 60, 3], [90, 30, 5, 5, 12], [25, 25, 1, 8]]


def mixture(**changes: Any) -> Mixture:
    return load(Mixture, source(**changes))


def source(**changes: Any) -> dict[str, Any]:
    component = {"name": "web", "kind": "other", "tokens": ["web"], "max_epochs": 100}
    component |= {key: changes.pop(key) for key in ("where",) if key in changes}
    return {
        "name": "m",
        "seed": 3,
        "held_out": "1/10",
        "components": [component],
        "stages": [
            {"name": "s1", "context": 16, "tokens": 2000, "weights": {"web": 1}},
            {"name": "s2", "context": 32, "tokens": 1000, "weights": {"web": 1}},
        ],
    } | changes


@pytest.fixture
def documents() -> list[dict[str, list[int]]]:
    """Documents whose tokens are all different."""
    tokens = itertools.count(20)
    return [
        {f"{shard}.{i}": [next(tokens) for _ in range(n)] for i, n in enumerate(lengths)}
        for shard, lengths in enumerate(LENGTHS)
    ]


@pytest.fixture
def root(write_tokens: Callable[..., Path], tmp_path: Path, documents: list[dict[str, list[int]]]) -> Path:
    files = []
    for i, shard in enumerate(documents):
        columns = {
            "score": [0.1 * n if n else None for n in range(len(shard))],
            "language": [("de", "fr", None)[n % 3] for n in range(len(shard))],
        }
        path = tmp_path / "t" / "web" / f"part-{i:05}.tokens"
        files.append(write_tokens(path, shard, columns=columns, skipped={"0.0": 10, "1.1": 31}))
    write_catalogue(tmp_path / "t", survey(tmp_path / "t", [(file, "x") for file in files]))
    return tmp_path / "t"


def everything(stream: Stream, epochs: int) -> list[tuple[int, int]]:
    """Targets that the loss counts, as (token before, token), of the first epochs of the first stage."""
    found = []
    for position in range(stream.spans[0].end):
        sequence = stream.sequence(position)
        if sequence.epoch < epochs:
            learned = np.ones(16, np.bool_) if sequence.learned is None else sequence.learned
            pairs = zip(sequence.tokens[:-1], sequence.tokens[1:], learned, strict=True)
            found += [(int(a), int(b)) for a, b, counts in pairs if counts]
    return found


def trained_on(documents: list[dict[str, list[int]]]) -> dict[str, list[int]]:
    """All but the last tenth, which is the last shard's third and fourth document, and the second for its length."""
    return {name: tokens for shard in documents for name, tokens in shard.items() if name not in ("2.1", "2.2", "2.3")}


def test_best_fit_windows_hold_every_target_once_an_epoch(root: Path, documents: list[dict[str, list[int]]]) -> None:
    made = mixture(packing="best_fit")
    fits = make_plans(made, root)
    stream = Stream.open(made, root)
    skipped = {"0.0": 10, "1.1": 31}
    expected = [
        (a, b)
        for name, tokens in trained_on(documents).items()
        for place, (a, b) in enumerate(itertools.pairwise([*tokens, EOD]), 1)
        if place >= skipped.get(name, 0)
    ]
    assert sorted(everything(stream, 1)) == sorted(expected)
    (first, second) = fits["web"]
    assert (first.context, first.windows) == (16, len({stream.sequence(p).window for p in range(125)}))
    lengths = [len(tokens) + 1 for tokens in trained_on(documents).values()]
    assert first.cut == sum(n > 17 for n in lengths) / len(lengths)
    n_chunk_tokens = sum(n + (n - 2) // 16 for n in lengths if n > 1)
    assert first.padding == pytest.approx(1 - n_chunk_tokens / (17 * first.windows))
    assert second.padding < 0.2


def test_windows_of_a_plan_are_padded_behind(root: Path) -> None:
    made = mixture(packing="best_fit", attention="document", positions="document")
    make_plans(made, root)
    stream = Stream.open(made, root)
    for position in range(0, 125, 3):
        sequence, parts = stream.sequence(position), stream.documents(position)
        assert sequence.lengths is not None and sequence.lengths.sum() == 16
        assert sequence.learned is not None
        end = parts[-1].end
        assert sequence.tokens[end:].tolist() == [EOD] * (17 - end)
        assert not sequence.learned[end - 1 :].any()
        for part in parts[1:]:
            assert not sequence.learned[part.first - 1]
        assert sequence.lengths[: len(parts)].tolist() == [min(part.end, 16) - part.first for part in parts]


def test_blocks_are_packed_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = mixture(packing="best_fit")
    monkeypatch.setattr(best_fit.packed, "__defaults__", (64,))
    make_plans(made, root)
    stream = Stream.open(made, root)
    monkeypatch.undo()
    assert len(everything(stream, 1)) == len(set(everything(stream, 1)))
    for position in range(stream.spans[0].end):
        places = [part.part.id for part in stream.documents(position)]
        assert places == sorted(places)


def test_documents_are_chosen_by_their_columns(root: Path, documents: list[dict[str, list[int]]]) -> None:
    where = [{"column": "score", "at_least": 0.1, "at_most": 0.35}, {"column": "language", "one_of": ["fr", "de"]}]
    made = mixture(where=where)
    (fit, _) = make_plans(made, root)["web"]
    stream = Stream.open(made, root)
    chosen = [name for name in trained_on(documents) if name.endswith((".1", ".3"))]
    seen = {part.part.id for position in range(len(stream)) for part in stream.documents(position)}
    assert chosen == ["0.1", "0.3", "1.1", "1.3"]
    assert seen == {"0.1", "0.3", "1.1"}  # the last one begins in the incomplete last window
    run = [token for name in chosen for token in [*documents[int(name[0])][name], EOD]]
    for position in range(len(stream)):
        sequence = stream.sequence(position)
        start = sequence.window * (len(sequence.tokens) - 1)
        assert sequence.tokens.tolist() == run[start : start + len(sequence.tokens)]
    held_out = [w.tokens.tolist() for w in stream.held_out(8, 10)["web"]]
    assert held_out[0] == [*documents[2]["2.1"][:9]]
    assert fit.windows == (len(run) - 1) // 16


def test_a_plan_is_made_once_and_is_missed_where_it_is_not_made(root: Path) -> None:
    plain, other = mixture(packing="best_fit"), mixture(where=[{"column": "language", "one_of": ["de"]}])
    for made in (plain, other):
        with pytest.raises(TokenFileError, match=r"no such plan for component 'web'; make it with `falconmix mix"):
            Stream.open(made, root)
        make_plans(made, root)
        Stream.open(made, root)
    files = [path for path in sorted((root / "plans").rglob("*")) if path.is_file()]
    written = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    assert len(written) > 4
    said: list[str] = []
    assert make_plans(plain, root, said.append) == make_plans(plain, root, said.append)
    assert said == []
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == before for path, before in written.items())


def test_conditions_that_cannot_be_met_are_refused(root: Path) -> None:
    with pytest.raises(SupplyError, match=r"part-00000\.columns\.parquet has no column 'stars'; tokenise documents"):
        make_plans(mixture(where=[{"column": "stars", "at_least": 3}]), root)
    with pytest.raises(SupplyError, match=r"column 'language' of .* cannot be compared"):
        make_plans(mixture(where=[{"column": "language", "at_least": 3}]), root)
    none = mixture(where=[{"column": "language", "one_of": ["xx"]}])
    make_plans(none, root)
    with pytest.raises(SupplyError, match="component 'web': 0 tokens to train on do not fill a window of 16"):
        Stream.open(none, root)


def test_where_tokens_of_a_document_are_seen(root: Path) -> None:
    """The inverse of the schedule, for both kinds of packing, against looking at every position."""
    for packing in ("concatenate", "best_fit"):
        made = mixture(packing=packing)
        make_plans(made, root)
        stream = Stream.open(made, root)
        seen: dict[tuple[str, int], list[int]] = {}
        for position in range(len(stream)):
            for part in stream.documents(position):
                seen.setdefault((part.file, part.part.document), []).append(position)
        assert len(seen) == (11 if packing == "concatenate" else 10)  # no window holds the empty document
        for (file, document), positions in seen.items():
            first, end = stream.span_of(file, document)
            assert stream.positions("web", file, first, end) == sorted(set(positions))


def test_where_tokens_are_seen_of_a_component_that_not_all_contexts_draw_from(root: Path) -> None:
    late = {"name": "late", "kind": "other", "tokens": ["web"], "max_epochs": 100}
    late["where"] = [{"column": "language", "one_of": ["de"]}]
    given = source(packing="best_fit")
    given["components"].append(late)
    given["stages"][1]["weights"] = {"late": 1}
    made = load(Mixture, given)
    make_plans(made, root)
    stream = Stream.open(made, root)
    for name, span in zip(("web", "late"), stream.spans, strict=True):
        seen = [p for p in range(span.first, span.end) if "1.0" in {part.part.id for part in stream.documents(p)}]
        assert seen
        assert stream.positions(name, "web/part-00001.tokens", *stream.span_of("web/part-00001.tokens", 0)) == seen


def test_plans_are_read_when_the_stream_is_opened_not_by_its_readers(root: Path) -> None:
    made = mixture(packing="best_fit")
    make_plans(made, root)
    stream = Stream.open(made, root)
    expected = stream.digest(0, len(stream))
    stream = Stream.open(made, root)
    shutil.rmtree(root / "plans")
    assert stream.digest(0, len(stream)) == expected


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_what_the_log_takes_out_before_it_is_drawn_needs_neither_plan_nor_tokens(root: Path, packing: str) -> None:
    given = source(packing=packing, changes=[{"at": 0, "reason": "no such folder after all", "weights": {"web": 1}}])
    where = [{"column": "language", "one_of": ["de"]}]
    for name, folder in (("chosen", "web"), ("gone", "nowhere")):
        given["components"].append({"name": name, "kind": "other", "tokens": [folder], "max_epochs": 1, "where": where})
    given["stages"][0] |= {"weights": {"web": 1, "chosen": 1, "gone": 1}, "out_of": 3}
    made = load(Mixture, given)
    assert list(holdings(made, root).available) == ["web"]
    stream = Stream.open(made, root)
    assert {stream.sequence(p).component for p in range(len(stream))} == {"web"}


def test_epochs_of_best_fit_packing_are_counted_in_windows(root: Path) -> None:
    """Exactly as many epochs as are allowed, whatever of the windows is padding; one sequence more is too many."""
    one_stage = {"name": "s", "context": 32, "weights": {"web": 1}}
    made = mixture(packing="best_fit", stages=[one_stage | {"tokens": 32}])
    windows = make_plans(made, root)["web"][0].windows
    component = {"name": "web", "kind": "other", "tokens": ["web"], "max_epochs": 2}
    for more in (0, 1):
        stages = [one_stage | {"tokens": 32 * (2 * windows + more)}]
        wanted = mixture(packing="best_fit", stages=stages, components=[component])
        made_plan = plan(wanted, holdings(wanted, root))
        assert made_plan.rows[0].epochs == pytest.approx((2 * windows + more) / windows)
        passed = [warning for warning in made_plan.warnings if "above max_epochs (2)" in warning]
        assert len(passed) == more
        if more:
            with pytest.raises(SupplyError, match="above max_epochs"):
                Stream.open(wanted, root)
        else:
            assert {Stream.open(wanted, root).sequence(p).epoch for p in range(2 * windows)} == {0, 1}


def test_a_bound_is_met_in_the_precision_of_its_column(write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    """Scores of published documents are in single precision, in which 0.65 is a little less."""
    scores = pa.array([0.65, 0.6499, 0.66, 0.8], pa.float32())
    documents = {str(i): [20 + i] * 40 for i in range(4)}
    path = write_tokens(tmp_path / "t" / "web" / "a.tokens", documents, columns={"score": scores})
    write_catalogue(tmp_path / "t", survey(tmp_path / "t", [(path, "x")]))
    made = mixture(held_out=0, where=[{"column": "score", "at_least": 0.65, "at_most": 0.8}])
    make_plans(made, tmp_path / "t")
    stream = Stream.open(made, tmp_path / "t")
    seen = {part.part.id for position in range(len(stream)) for part in stream.documents(position)}
    assert seen == {"0", "2", "3"}
