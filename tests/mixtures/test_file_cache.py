import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import StoreAccessError, StoreError
from mixtures.file_cache import FileCache


def content(name: str, size: int) -> bytes:
    return (name.encode() * size)[:size]


def put(cache: FileCache, name: str, size: int) -> Path:
    return cache.put(name, "etag", size, [content(name, size)])


def held(cache: FileCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.iterdir())


@settings(max_examples=40, deadline=None)
@given(uses=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 60)), max_size=25))
def test_what_was_used_longest_ago_gives_way(
    tmp_path_factory: pytest.TempPathFactory, uses: list[tuple[str, int]]
) -> None:
    """Against a list in order of use."""
    cache, order = FileCache(tmp_path_factory.mktemp("cache"), 100), list[tuple[str, int]]()
    for name, size in uses:
        found = cache.found(name, "etag", size)
        assert (found is not None) == ((name, size) in order)
        if found is None:
            found = put(cache, name, size)
            while sum(n for _, n in order) + size > 100:
                order.pop(0)
        else:
            order.remove((name, size))
        order.append((name, size))
        assert found.read_bytes() == content(name, size)
        assert held(cache) == sum(n for _, n in order) <= 100
    for name, size in order:
        assert cache.found(name, "etag", size) is not None


def test_a_name_is_of_address_etag_and_size(tmp_path: Path) -> None:
    cache = FileCache(tmp_path / "a" / "b", 100)
    put(cache, "x", 10)
    for other in (("x", "other", 10), ("x", None, 10), ("y", "etag", 10), ("x", "etag", 11)):
        assert cache.found(*other) is None
    assert cache.found("x", "etag", 10) is not None


def test_what_is_open_stays_readable_when_it_gives_way(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    with put(cache, "x", 80).open("rb") as file:
        put(cache, "y", 80)
        assert cache.found("x", "etag", 80) is None
        assert file.read() == content("x", 80)


def test_a_file_that_somebody_has_cut_is_not_taken(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)
    os.truncate(put(cache, "x", 80), 30)
    assert cache.found("x", "etag", 80) is None
    assert put(cache, "x", 80).read_bytes() == content("x", 80)


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, 100)

    def broken() -> Iterator[bytes]:
        yield b"12345"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        cache.put("x", None, 50, broken())
    with pytest.raises(StoreError, match="5 bytes were given for a file of 50"):
        cache.put("x", None, 50, [b"12345"])
    assert held(cache) == 0
    with pytest.raises(StoreAccessError, match=r"x: 101 bytes are more than the cache .* may hold \(100\)"):
        put(cache, "x", 101)


def test_who_comes_second_waits_and_fetches_nothing(tmp_path: Path) -> None:
    """Two threads with caches of their own, as two processes have."""
    begun, found = threading.Event(), []

    def slowly() -> Iterator[bytes]:
        begun.set()
        second.start()
        yield content("x", 50)

    def never() -> Iterator[bytes]:
        raise AssertionError("fetched twice")
        yield b""

    second = threading.Thread(target=lambda: found.append(FileCache(tmp_path, 100).put("x", "e", 50, never())))
    path = FileCache(tmp_path, 100).put("x", "e", 50, slowly())
    second.join()
    assert begun.is_set() and found == [path]
    assert path.read_bytes() == content("x", 50)


def _killed_while_writing(folder: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)

    FileCache(folder, 100).put("x", "etag", 80, pieces())


def test_the_draft_of_a_killed_process_is_taken_over_or_gives_way(tmp_path: Path) -> None:
    for name in ("x", "y"):
        process = multiprocessing.get_context("fork").Process(target=_killed_while_writing, args=(tmp_path,))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        cache = FileCache(tmp_path, 100)
        assert len(list(tmp_path.glob("*.draft"))) == 1
        assert put(cache, name, 80).read_bytes() == content(name, 80)
        assert not list(tmp_path.glob("*.draft")) and held(cache) == 80
        put(cache, "z", 100)
