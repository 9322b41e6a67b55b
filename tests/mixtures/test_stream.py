import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures import run
from mixtures.catalogue import survey, write_catalogue
from mixtures.errors import SupplyError, TokenFileError, TokenizerError
from mixtures.spec import Mixture
from mixtures.stream import Stream
from mixtures.strict import load

EOD = 11


def mixture(**changes: Any) -> Mixture:
    source: dict[str, Any] = {
        "name": "m",
        "seed": 3,
        "held_out": "1/10",
        "components": [
            {"name": "web", "kind": "european_web", "tokens": ["web/lang=*"], "max_epochs": 5},
            {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 20},
        ],
        "stages": [
            {"name": "s1", "context": 8, "tokens": 1000, "weights": {"web": 3, "code": 1}, "out_of": 4},
            {"name": "s2", "context": 16, "tokens": 500, "weights": {"web": 1, "code": 1}, "out_of": 2},
            {"name": "s3", "context": 8, "tokens": 200, "weights": {"web": 1}},
        ],
    }
    return load(Mixture, source | changes)


def documents(prefix: str, lengths: list[int], first_token: int) -> dict[str, list[int]]:
    """Documents whose tokens are all different, so that every token tells where it came from."""
    tokens = itertools.count(first_token)
    return {f"{prefix}{i}": [next(tokens) for _ in range(n)] for i, n in enumerate(lengths)}


TREE = {
    "web/lang=de": [documents("de0.", [40, 7, 0, 60], 100), documents("de1.", [90, 30], 300)],
    "web/lang=fr": [documents("fr0.", [150, 20, 5], 500)],
    "code": [documents("code0.", [30] * 4, 800), documents("code1.", [9] * 3, 1000)],
}


def flat(folder: str) -> list[int]:
    return [token for shard in TREE[folder] for doc in shard.values() for token in [*doc, EOD]]


# Kept for training: all but the last tenth of each folder, begun at a document.
TRAIN = {"web": flat("web/lang=de")[:202] + flat("web/lang=fr")[:151], "code": flat("code")[:134]}
HELD_OUT = {"web": flat("web/lang=de")[202:] + flat("web/lang=fr")[151:], "code": flat("code")[134:]}


@pytest.fixture
def root(write_root: Callable[..., Path], tmp_path: Path) -> Path:
    return write_root(tmp_path / "tokens", TREE)


@pytest.fixture
def stream(root: Path) -> Stream:
    return Stream.open(mixture(), root)


def test_sequences_are_windows_of_the_concatenated_folders(stream: Stream) -> None:
    for position in range(len(stream)):
        sequence = stream.sequence(position)
        context = stream.spans[sequence.stage].context
        start = sequence.window * context
        assert sequence.tokens.dtype == np.int64
        assert sequence.tokens.tolist() == TRAIN[sequence.component][start : start + context + 1]


def test_no_window_returns_before_its_epoch_is_over(stream: Stream) -> None:
    drawn: dict[tuple[str, int, int], list[int]] = {}
    for position in range(len(stream)):
        s = stream.sequence(position)
        drawn.setdefault((s.component, stream.spans[s.stage].context, s.epoch), []).append(s.window)
    for (component, context, epoch), windows in drawn.items():
        n = (len(TRAIN[component]) - 1) // context
        assert len(windows) == len(set(windows)) <= n
        if (component, context, epoch + 1) in drawn:
            assert sorted(windows) == list(range(n))
    assert len({tuple(drawn[("web", 8, epoch)]) for epoch in (0, 1)}) == 2


def test_held_out_documents_are_the_last_of_each_folder_and_never_scheduled(stream: Stream) -> None:
    seen = {int(token) for position in range(len(stream)) for token in stream.sequence(position).tokens}
    for component, tokens in HELD_OUT.items():
        windows = [window.tokens.tolist() for window in stream.held_out(8, 100)[component]]
        n = (len(tokens) - 1) // 8
        assert windows == [tokens[i * 8 : i * 8 + 9] for i in range(n)]
        assert not (seen & set(tokens)) - {EOD}
    assert [len(window.tokens) for window in stream.held_out(8, 2)["web"]] == [9, 9]
    assert stream.held_out(8, 2)["web"][1].tokens.tolist() == HELD_OUT["web"][24:33]
    assert list(stream.held_out(32, 5)) == ["web"]  # code has too few


def test_held_out_windows_name_the_folders_of_their_tokens(stream: Stream) -> None:
    folders = {
        token: folder
        for folder, shards in TREE.items()
        for shard in shards
        for tokens in shard.values()
        for token in tokens
    }
    windows = [window for of_component in stream.held_out(8, 100).values() for window in of_component]
    for window in windows:
        seen = dict.fromkeys(folders[token] for token in window.tokens.tolist() if token != EOD)
        assert window.folders == tuple(seen)
    assert {len(window.folders) for window in windows} == {1, 2}


def test_lineage_names_the_documents_of_a_sequence(stream: Stream) -> None:
    where = {
        token: (document_id, list(tokens))
        for shards in TREE.values()
        for shard in shards
        for document_id, tokens in shard.items()
        for token in tokens
    }
    for position in range(0, len(stream), 3):
        tokens = stream.sequence(position).tokens.tolist()
        spans = stream.documents(position)
        assert [part.first for part in spans] == [0, *(part.end for part in spans[:-1])]
        assert spans[-1].end == len(tokens)
        for part in spans:
            inside = [token for token in tokens[part.first : part.end] if token != EOD]
            assert {where[token][0] for token in inside} <= {part.part.id}
            assert EOD not in tokens[part.first : part.end - 1]


@pytest.fixture(scope="module")
def opened(write_root: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixture, Path]:
    return mixture(), write_root(tmp_path_factory.mktemp("tokens"), TREE)


@given(st.integers(1, 7), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_any_world_size_and_restart_give_the_same_global_sequence(
    opened: tuple[Mixture, Path], world: int, stop: int
) -> None:
    """Ranks that take turns, and a run that goes on in a new process, see what one reader sees."""
    whole = Stream.open(*opened)
    expected = [whole.sequence(position).tokens.tolist() for position in range(60)]
    ranks = [Stream.open(*opened) for _ in range(world)]
    got = {p: ranks[p % world].sequence(p).tokens.tolist() for p in range(stop)}
    resumed = Stream.open(*opened)
    got |= {p: resumed.sequence(p).tokens.tolist() for p in reversed(range(stop, 60))}
    assert [got[p] for p in range(60)] == expected


def test_digest_is_of_the_tokens(stream: Stream, root: Path) -> None:
    other = Stream.open(mixture(seed=4), root)
    assert stream.digest(0, 20) == Stream.open(mixture(), root).digest(0, 20)
    assert len({stream.digest(0, 20), stream.digest(1, 20), stream.digest(0, 21), other.digest(0, 20)}) == 4
    assert stream.digest(len(stream) - 5, 100) == stream.digest(len(stream) - 5, 5)


def test_golden_digest(stream: Stream) -> None:
    assert stream.digest(0, len(stream)) == "2fbe886b1cb05c61dbd1256b6ad06246"


def test_what_the_stream_tells(stream: Stream) -> None:
    assert [(s.name, s.context, s.first, s.end) for s in stream.spans] == [
        ("s1", 8, 0, 125),
        ("s2", 16, 125, 157),
        ("s3", 8, 157, 182),
    ]
    assert (len(stream), stream.vocab_size, stream.eod_id, stream.tokenizer_digest) == (182, 1024, 11, "ab" * 16)
    with pytest.raises(IndexError):
        stream.sequence(182)


def test_a_missing_component_is_named(root: Path) -> None:
    components = [
        {"name": "web", "kind": "other", "tokens": ["books"], "max_epochs": 5},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 20},
    ]
    with pytest.raises(
        SupplyError, match=r"component 'web': no token folder matches 'books' under .*there are code, web"
    ):
        Stream.open(mixture(components=components), root)


def test_a_component_that_no_stage_draws_from_is_not_needed(root: Path) -> None:
    components = [
        {"name": "web", "kind": "other", "tokens": ["web/lang=de", "web/lang=fr"], "max_epochs": 5},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 20},
        {"name": "books", "kind": "other", "tokens": ["books"], "max_epochs": 1},
    ]
    stream = Stream.open(mixture(components=components), root)
    assert stream.digest(0, 50) == Stream.open(mixture(), root).digest(0, 50)


def test_too_few_tokens_for_a_window(write_root: Callable[..., Path], tmp_path: Path) -> None:
    root = write_root(tmp_path / "t", TREE | {"code": [{"a": [1] * 14}]})
    with pytest.raises(SupplyError, match="component 'code': 15 tokens to train on do not fill a window of 16"):
        Stream.open(mixture(), root)
    root = write_root(tmp_path / "u", TREE | {"code": [{}]})
    with pytest.raises(SupplyError, match="component 'code': 0 tokens to train on do not fill a window of 8"):
        Stream.open(mixture(), root)


def test_too_many_epochs(root: Path) -> None:
    components = [
        {"name": "web", "kind": "other", "tokens": ["web/lang=*"], "max_epochs": "10/3"},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 20},
    ]
    with pytest.raises(
        SupplyError, match=r"component 'web': the stages want 3\.\d+ epochs .* above max_epochs \(10/3\)"
    ):
        Stream.open(mixture(components=components), root)


def test_a_token_file_cut_short_is_refused_at_the_start(root: Path) -> None:
    path = root / "code" / "part-00001.tokens"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(TokenFileError, match=r"code/part-00001\.tokens: cut short.*tokenise it again"):
        Stream.open(mixture(), root)


def test_an_index_that_each_step_needs_is_refused_at_the_start_where_it_is_cut_short(
    root: Path, write_tokens: Callable[..., Path]
) -> None:
    index = root / "code" / "part-00000.documents"
    whole = index.read_bytes()
    index.write_bytes(whole[:-1])
    Stream.open(mixture(), root)  # nobody looks there
    index.write_bytes(whole)
    write_tokens(root / "code" / "part-00000.tokens", TREE["code"][0], skipped={"code0.1": 3})
    write_catalogue(root, survey(root, [(file, "x") for file in sorted(root.rglob("*.tokens"))]))
    Stream.open(mixture(), root)
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(TokenFileError, match=r"code/part-00000\.documents: cut short or damaged.*tokenise it again"):
        Stream.open(mixture(), root)
    index.unlink()
    with pytest.raises(TokenFileError, match=r"code/part-00000\.documents: no such document index"):
        Stream.open(mixture(), root)


def test_a_token_file_exchanged_is_refused(root: Path, write_tokens: Callable[..., Path]) -> None:
    write_tokens(root / "code" / "part-00001.tokens", {"x": [1, 2]})
    with pytest.raises(TokenFileError, match=r"part-00001\.tokens: not the file that tokens\.json names"):
        Stream.open(mixture(), root)
    write_tokens(root / "code" / "part-00001.tokens", {"x": [1, 2]}, tokenizer="cd" * 16)
    with pytest.raises(TokenizerError, match=r"part-00001\.tokens: not made with the tokenizer of tokens\.json"):
        Stream.open(mixture(), root)


@pytest.mark.parametrize(("number", "value"), [("tokens", 138), ("skipped", 3), ("eod_id", 12), ("vocab_size", 9)])
def test_a_catalogue_that_was_edited_is_refused(root: Path, number: str, value: int) -> None:
    """All that is taken from `tokens.json` is held against the files: what pads, what the loss passes over."""
    catalogue = json.loads((root / "tokens.json").read_text())
    of = catalogue if number in catalogue else catalogue["folders"]["code"][0]
    assert of[number] != value
    of[number] = value
    (root / "tokens.json").write_text(json.dumps(catalogue))
    with pytest.raises(TokenFileError, match=r"\.tokens: not the file that tokens\.json names"):
        Stream.open(mixture(), root)


def test_a_folder_of_one_document_keeps_it_for_training(write_root: Callable[..., Path], tmp_path: Path) -> None:
    stream = Stream.open(mixture(), write_root(tmp_path / "t", TREE | {"code": [{"only": [1] * 199}]}))
    assert "code" not in stream.held_out(8, 5)
    (span,) = {stream.documents(p)[0].part.id for p in range(len(stream)) if stream.sequence(p).component == "code"}
    assert span == "only"


def test_more_files_than_are_kept_open(
    write_root: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "OPEN_FILES", 4)
    shards = [documents(f"d{i}.", [9], 20 + 10 * i) for i in range(40)]
    stream = Stream.open(mixture(held_out=0), write_root(tmp_path / "t", TREE | {"code": shards}))
    expected = [token for shard in shards for doc in shard.values() for token in [*doc, EOD]]
    for position in range(len(stream)):
        sequence = stream.sequence(position)
        if sequence.component == "code":
            start = sequence.window * (len(sequence.tokens) - 1)
            assert sequence.tokens.tolist() == expected[start : start + len(sequence.tokens)]
    assert stream.held_out(8, 5) == {}


def test_reading_needs_neither_tokenizers_nor_arrow(opened: tuple[Mixture, Path], repository: Path) -> None:
    """A GPU box that only trains has neither."""
    program = (
        "import sys; from pathlib import Path; import mixtures.plan; from mixtures.stream import Stream;"
        "from mixtures.catalogue import read_catalogue; read_catalogue(Path(sys.argv[1]));"
        "print(sorted({'tokenizers', 'pyarrow', 'numba', 'tiktoken', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(opened[1])]
    assert subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_documents_that_the_log_masks_keep_their_place(root: Path) -> None:
    """The same tokens at every position; from the entry on, and only there, the masked documents count for nothing."""
    plain = Stream.open(mixture(), root)
    log = [
        {"at": 40, "reason": "spam", "mask": {"documents": ["de0.0", "code0.1"]}},
        {"at": 90, "reason": "takedown", "mask": {"documents": ["fr0.0"]}},
    ]
    masked = Stream.open(mixture(changes=log), root)
    counted_out = set[str]()
    for position in range(len(plain)):
        sequence, before = masked.sequence(position), plain.sequence(position)
        assert sequence.tokens.tolist() == before.tokens.tolist()
        ids = {40: {"de0.0", "code0.1"}, 90: {"de0.0", "code0.1", "fr0.0"}}
        gone = ids[90] if position >= 90 else ids[40] if position >= 40 else set()
        assert (sequence.learned is None) == (not gone)
        if sequence.learned is None:
            continue
        for part in masked.documents(position):
            inside = sequence.learned[max(0, part.first - 1) : part.end - 1]
            assert (not inside.any()) if part.part.id in gone else inside.all()
            counted_out |= {part.part.id} & gone
    assert counted_out == {"de0.0", "code0.1", "fr0.0"}
    assert masked.learns_all_before(40) and not masked.learns_all_before(41)
    assert masked.digest(0, 40) == plain.digest(0, 40) and masked.digest(40, 20) != plain.digest(40, 20)


def test_repeated_beginnings_count_for_nothing_and_documents_can_be_parted(
    write_root: Callable[..., Path], write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_root(tmp_path / "t", TREE)
    (path,) = (root / "code").glob("part-00000.tokens")
    write_tokens(path, TREE["code"][0], skipped={"code0.1": 12, "code0.2": 31})
    write_catalogue(root, survey(root, [(file, "x") for file in sorted(root.rglob("*.tokens"))]))
    stream = Stream.open(mixture(attention="document"), root)
    whole = {token: place for shard in TREE["code"] for doc in shard.values() for place, token in enumerate(doc)}
    for position in range(len(stream)):
        sequence = stream.sequence(position)
        assert sequence.lengths is not None
        ends = [i + 1 for i, token in enumerate(sequence.tokens[:-1].tolist()) if token == EOD]
        assert np.cumsum(sequence.lengths).tolist() == sorted({*ends, len(sequence.tokens) - 1})
        if sequence.component != "code":
            assert sequence.learned is None
            continue
        assert sequence.learned is not None
        for target, counts in zip(sequence.tokens[1:].tolist(), sequence.learned.tolist(), strict=True):
            document = (target - 800) // 30
            assert target == EOD or counts == ((document != 1 or whole[target] >= 12) and document != 2)
