"""Token files in an object store: the same sequences as from a folder, and no more bytes than needed."""

import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mixtures import remote
from mixtures.errors import MixtureError, StoreAccessError, StoreError, TokenFileError
from mixtures.planning import make_plans
from mixtures.plans import PlanFolder
from mixtures.remote import ObjectStore
from mixtures.stream import Stream
from tests.mixtures.object_server import ObjectServer, serving
from tests.mixtures.test_stream import TREE, documents, mixture

LARGE, SMALL = 10**9, 10_000
"""Caches that hold all token files, and none of them but what lies beside."""


@pytest.fixture
def server(write_root: Callable[..., Path], tmp_path: Path) -> Iterator[ObjectServer]:
    tree = TREE | {"code": [documents(f"code{i}.", [90] * 12, 800) for i in range(6)]}
    with serving(write_root(tmp_path / "tokens", tree)) as found:
        yield found


@pytest.fixture
def store(server: ObjectServer, tmp_path: Path) -> Callable[..., ObjectStore]:
    def opened(cache_bytes: int = LARGE, cache: str = "cache") -> ObjectStore:
        return ObjectStore("s3://bucket", cache=tmp_path / cache, cache_bytes=cache_bytes, config=server.config)

    return opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries a request."""
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=2), "base": 2}
    monkeypatch.setattr(remote, "_RETRIES", {"max_retries": 1, "backoff": quick})


def digest(stream: Stream) -> str:
    return stream.digest(0, len(stream))


@pytest.mark.parametrize("cache_bytes", [LARGE, SMALL])
@pytest.mark.parametrize("changes", [{}, {"attention": "document"}, {"packing": "best_fit", "positions": "document"}])
def test_the_sequences_are_those_of_the_folder(
    server: ObjectServer, store: Callable[..., ObjectStore], cache_bytes: int, changes: dict[str, Any]
) -> None:
    if "packing" in changes:
        make_plans(mixture(**changes), server.folder)
    recipe = mixture(**changes)
    local, remote_ = Stream.open(recipe, server.folder), Stream.open(recipe, store(cache_bytes))
    for position in range(len(local)):
        ours, theirs = remote_.sequence(position), local.sequence(position)
        assert (ours.tokens == theirs.tokens).all()
        assert (ours.lengths is None) == (theirs.lengths is None)
        assert ours.lengths is None or ours.lengths.tolist() == theirs.lengths.tolist()
    assert remote_.held_out(8, 3).keys() == local.held_out(8, 3).keys()
    assert digest(remote_) == digest(local)


def test_opening_asks_once_a_shard_and_reads_no_tokens(server: ObjectServer, store: Callable[..., ObjectStore]) -> None:
    stream = Stream.open(mixture(), store())
    tokens = [(method, name) for method, name, _, _ in server.asked if name.endswith(".tokens")]
    assert sorted(tokens) == sorted(("GET", str(p.relative_to(server.folder))) for p in server.folder.rglob("*.tokens"))
    assert set(server.fetched(".tokens").values()) == {128}
    # Of the document indexes, those of the files that are cut between training and evaluation.
    assert len(server.fetched(".documents")) == 3
    asked = len(server.asked)
    again = pickle.loads(pickle.dumps(stream))
    assert len(server.asked) == asked
    assert digest(again) == digest(stream)


def test_where_they_do_not_fit_windows_are_read_and_nothing_else(
    server: ObjectServer, store: Callable[..., ObjectStore], tmp_path: Path
) -> None:
    stream = Stream.open(mixture(), store(SMALL))
    opened = sum(server.fetched(".tokens").values())
    for position in range(len(stream)):
        stream.sequence(position)
    contexts = [span.context for span in stream.spans for _ in range(span.first, span.end)]
    assert sum(server.fetched(".tokens").values()) - opened == sum(2 * (context + 1) for context in contexts)
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= SMALL


def test_where_they_fit_each_is_fetched_once_whole(
    server: ObjectServer, store: Callable[..., ObjectStore], tmp_path: Path
) -> None:
    first = Stream.open(mixture(), store())
    expected = digest(first)
    sizes = {str(p.relative_to(server.folder)): p.stat().st_size for p in server.folder.rglob("*.tokens")}
    drawn = {name for position in range(len(first)) for name, _, _ in first.places(position)}
    whole = {(name, 0, sizes[name]) for name in drawn}
    while not whole <= {entry[1:] for entry in server.asked} or list((tmp_path / "cache").glob("*.draft")):
        time.sleep(0.01)
    server.asked.clear()
    second = Stream.open(mixture(), store())
    assert digest(first) == digest(second) == expected
    assert not [entry for entry in server.asked if entry[1] in drawn and entry[2:] != (0, 128)]


@pytest.mark.parametrize("cache_bytes", [LARGE, SMALL])
def test_faults_on_the_way_change_nothing(
    server: ObjectServer, store: Callable[..., ObjectStore], cache_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third request meets one: refused for now, reset, or cut off in the body."""
    kinds = ("503", "reset", "truncate")
    server.fault = lambda _, number: kinds[number // 3 % 3] if number % 3 == 0 else None
    quick = {"init_backoff": timedelta(milliseconds=1), "max_backoff": timedelta(milliseconds=9), "base": 2}
    monkeypatch.setattr(remote, "_RETRIES", remote._RETRIES | {"backoff": quick})
    assert digest(Stream.open(mixture(), store(cache_bytes))) == digest(Stream.open(mixture(), server.folder))
    assert len(server.asked) > 50


def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    server: ObjectServer, store: Callable[..., ObjectStore], write_tokens: Callable[..., Path]
) -> None:
    stream = Stream.open(mixture(), store(SMALL))
    for path in server.folder.glob("code/*.tokens"):
        content = bytearray(path.read_bytes())
        content[200] ^= 1
        path.write_bytes(content)
    with pytest.raises(TokenFileError, match=r"s3://bucket/code/part-0000\d\.tokens: was replaced while it was in use"):
        digest(stream)


def test_what_is_missing_or_forbidden_is_named(
    server: ObjectServer, store: Callable[..., ObjectStore], impatient: None
) -> None:
    part = server.folder / "code" / "part-00003.tokens"
    part.rename(part.with_suffix(".gone"))
    with pytest.raises(TokenFileError, match=r"^s3://bucket/code/part-00003\.tokens: no such token file; tokenise it"):
        Stream.open(mixture(), store())
    server.fault = lambda name, _: "403" if name.endswith("part-00002.tokens") else None
    with pytest.raises(StoreAccessError, match=r"code/part-00002\.tokens: access refused \(.*; check the credentials"):
        Stream.open(mixture(), store())
    server.fault = lambda name, _: "503"
    with pytest.raises(
        StoreError, match=r"tokens\.json: cannot be read \(.*; check the address and the network"
    ) as stop:
        Stream.open(mixture(), store(cache="other"))
    assert stop.value.exit_code == 1
    server.fault = lambda name, _: None
    part.with_suffix(".gone").rename(part)
    (server.folder / "code" / "part-00005.documents").unlink()
    with pytest.raises(
        TokenFileError, match=r"s3://bucket/code/part-00005\.documents: it or its token file is missing"
    ):
        Stream.open(mixture(), store(cache="third"))
    (server.folder / "tokens.json").unlink()
    with pytest.raises(TokenFileError, match=r"s3://bucket/tokens\.json: no such object; give the place to which all"):
        Stream.open(mixture(), store(cache="third"))
    plan = PlanFolder(component="code", digest="x", root=store())
    with pytest.raises(TokenFileError, match=r"s3://bucket/plans/x/8\.first\.npy: no such plan for component 'code'"):
        plan.windows(8)


def test_a_cache_that_does_not_hold_one_index_says_so(store: Callable[..., ObjectStore]) -> None:
    with pytest.raises(StoreAccessError, match=r"tokens\.json: .* more than the cache .*--token-cache-bytes"):
        Stream.open(mixture(), store(100))


def test_what_cannot_be_opened_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreAccessError, match=r"ftp://host: cannot be used .*give a folder, or a URL"):
        ObjectStore("ftp://host", cache=tmp_path, cache_bytes=1)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(StoreAccessError, match=r"s3://bucket: needs obstore; pip install 'falconmix\[s3\]'") as stop:
        ObjectStore("s3://bucket", cache=tmp_path, cache_bytes=1)
    assert stop.value.exit_code == 2


def test_over_http(server: ObjectServer, tmp_path: Path) -> None:
    root = ObjectStore(f"{server.url}/bucket/", cache=tmp_path / "cache", cache_bytes=SMALL)
    assert root.shown("code/x") == f"{server.url}/bucket/code/x"
    assert digest(Stream.open(mixture(), root)) == digest(Stream.open(mixture(), server.folder))


def _read(stream: Stream, answers: Any) -> None:
    try:
        stream.sequence(0)
    except MixtureError as error:
        answers.put((type(error).__name__, str(error)))


def test_a_forked_process_is_told_what_to_do(store: Callable[..., ObjectStore]) -> None:
    stream, context = Stream.open(mixture(), store(SMALL)), multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_read, args=(stream, answers))
    process.start()
    name, message = answers.get()
    process.join()
    assert name == "StoreAccessError" and 'multiprocessing_context="spawn"' in message
