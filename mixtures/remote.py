"""A token root in an object store: `s3://`, `gs://`, `az://`, or `http(s)://`.

Whole files are kept in a local cache (`mixtures.file_cache`): the catalogue, plans and document indexes always, token
files where all of those in use fit into `WHOLE_SHARE` of it. Those are fetched in the background, each once, and until
one is there, and for good where they do not all fit, a window is read as the byte range that it is. For windows are
drawn at random over all files of a component, and each is read once an epoch: a cache that holds a tenth of them saves
a tenth of the reads, but a file fetched for the sake of one window costs thousands of windows' bytes.

What is read is what was there at the start: an object that changes meanwhile is refused by its ETag.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from mixtures.errors import StoreAccessError, StoreError, TokenFileError
from mixtures.file_cache import FileCache
from mixtures.roots import LocalFile
from mixtures.tokens import HEADER

WHOLE_SHARE: Final = 0.75
"""Of the cache, for token files; the rest is for document indexes and plans."""
AT_ONCE: Final = 64
"""Requests under way at a time: an answer takes 20 to 100 ms, so 64 are some 1,000 a second."""
FETCHERS: Final = 4
"""Threads that fetch whole token files in the background."""
PIECE_BYTES: Final = 16 << 20
"""Whole files are fetched in ranges of this size, each of which can be asked for again."""
SHORT_ANSWERS: Final = 4
"""How often an answer that is shorter than it should be is asked for again."""
SUFFIX: Final = ".tokens"
T = TypeVar("T")

_RETRIES: Final[dict[str, Any]] = {
    "max_retries": 8,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10), "base": 2},
}
"""After a 5xx, a reset or a stalled or broken-off body; obstore does this."""


@dataclass(frozen=True, kw_only=True)
class Object:
    """One object as it was when it was first looked at."""

    name: str
    size: int
    etag: str | None
    head: bytes | None = None
    """Its first 128 bytes, where these were asked for."""

    def kept_as(self, url: str) -> tuple[str, str | None, int]:
        """What decides its name in the cache."""
        return f"{url}/{self.name}", self.etag, self.size


class ObjectStore:
    """A token root at a URL, with a cache of at most `cache_bytes` in the folder `cache`.

    Several processes may share the folder. `config` and `client` are obstore's, for a store that is not found by its
    URL and the environment alone. Raises StoreAccessError without obstore, or for a URL of another kind.
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path,
        cache_bytes: int,
        config: Mapping[str, str] | None = None,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._given: dict[str, Any] = {"cache": cache, "cache_bytes": cache_bytes, "config": config, "client": client}
        self._cache = FileCache(cache, cache_bytes)
        self._store = _store(self._url, config, client)
        self._process = os.getpid()
        self._objects: dict[str, Object] = {}
        self._token_bytes = 0
        self._lock = threading.Lock()
        self._background = _Background(self._fetch)

    def __reduce__(self) -> tuple[Callable[..., ObjectStore], tuple[str, dict[str, Any], dict[str, Object]]]:
        # A process that reads along knows what was looked at, and asks nothing again.
        return _copied, (self._url, self._given, self._objects)

    @property
    def address(self) -> str:
        """The URL."""
        return self._url

    @property
    def at_once(self) -> int:
        """Reads that are worth having under way at a time."""
        return AT_ONCE

    def shown(self, name: str) -> str:
        """The object's URL."""
        return f"{self._url}/{name}" if name else self._url

    def head(self, name: str) -> tuple[bytes, int]:
        """The first 128 bytes of a file, and its size, in one request. Raises FileNotFoundError, StoreError."""
        known = self._objects.get(name)
        if known is None or known.head is None:
            known = self._add(self._looked_at(name, HEADER.itemsize))
        return known.head or b"", known.size

    def local(self, name: str) -> Path:
        """The file in the cache, fetched if it is not there. Raises FileNotFoundError, StoreError."""
        wanted = self._object(name)
        path = self._cache.found(*wanted.kept_as(self._url))
        return path or self._fetch(wanted)

    def open(self, name: str) -> RemoteFile:
        """Open a file to read parts of it. Raises FileNotFoundError, StoreError."""
        return RemoteFile(self, self._object(name))

    def kept(self, wanted: Object) -> LocalFile | None:
        """The whole file, where the cache has it; else it is fetched in the background if there is room for all."""
        path = self._cache.found(*wanted.kept_as(self._url))
        if path is not None:
            try:
                return LocalFile(path)
            except FileNotFoundError:  # another process has just made room
                pass
        if self._token_bytes <= WHOLE_SHARE * self._cache.limit_bytes:
            self._background.ask_for(wanted)
        return None

    def read_range(self, wanted: Object, offset: int, size: int) -> bytes:
        """`size` bytes of an object from `offset` on, fewer at its end.

        Raises StoreError, and TokenFileError where the object is not what it was.
        """
        size = max(0, min(size, wanted.size - offset))
        content = b""
        for attempt in range(SHORT_ANSWERS):
            content = self._asked(wanted.name, lambda: self._get(wanted, offset, size)) if size else b""
            if len(content) == size:
                return content
            time.sleep(0.1 * 2**attempt)
        raise StoreError(f"{self.shown(wanted.name)}: gave {len(content)} of {size} bytes, {SHORT_ANSWERS} times")

    def _get(self, wanted: Object, offset: int, size: int) -> bytes:
        options: dict[str, Any] = {"range": (offset, offset + size)}
        if wanted.etag is not None:
            options["if_match"] = wanted.etag
        return bytes(self._store.get(wanted.name, options=options).bytes())

    def _looked_at(self, name: str, head_bytes: int) -> Object:
        def look() -> Object:
            found = self._store.get(name, options={"range": (0, head_bytes)})
            meta = found.meta
            return Object(name=name, size=meta["size"], etag=meta["e_tag"], head=bytes(found.bytes()))

        return self._asked(name, look)

    def _object(self, name: str) -> Object:
        known = self._objects.get(name)
        if known is None:
            meta = self._asked(name, lambda: self._store.head(name))
            known = self._add(Object(name=name, size=meta["size"], etag=meta["e_tag"]))
        return known

    def _add(self, found: Object) -> Object:
        with self._lock:
            if found.name.endswith(SUFFIX) and found.name not in self._objects:
                self._token_bytes += found.size
            self._objects[found.name] = found
        return found

    def _fetch(self, wanted: Object) -> Path:
        """Put a whole file into the cache."""

        def pieces() -> Any:
            for offset in range(0, wanted.size, PIECE_BYTES):
                yield self.read_range(wanted, offset, PIECE_BYTES)

        return self._cache.put(*wanted.kept_as(self._url), pieces())

    def _asked(self, name: str, request: Callable[[], T]) -> T:
        """What the store answers; its errors as ours."""
        from obstore import exceptions

        if os.getpid() != self._process:
            raise StoreAccessError(
                f"{self._url}: a forked process cannot use a connection of its parent; "
                'give DataLoader multiprocessing_context="spawn"'
            )
        try:
            return request()
        except FileNotFoundError:
            raise FileNotFoundError(self.shown(name)) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise StoreAccessError(
                f"{self.shown(name)}: access refused ({_first_line(error)}); check the credentials and their rights"
            ) from error
        except exceptions.PreconditionError as error:
            raise TokenFileError(
                f"{self.shown(name)}: was replaced while it was in use; restore it, or begin the run again"
            ) from error
        except exceptions.BaseError as error:
            if _METADATA_SERVICE in str(error):
                raise StoreAccessError(
                    f"{self.shown(name)}: no credentials, neither in the environment nor by this machine's role; set "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket"
                ) from error
            raise StoreError(
                f"{self.shown(name)}: cannot be read ({_first_line(error)}); check the address and the network"
            ) from error


class RemoteFile:
    """A file in an object store; read from the cache as soon as it is there."""

    def __init__(self, root: ObjectStore, wanted: Object) -> None:
        self._root = root
        self._object = wanted
        self._local: LocalFile | None = None

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before. Raises StoreError, TokenFileError."""
        if self._object.head is not None and offset + size <= len(self._object.head):
            return self._object.head[offset : offset + size]
        if self._local is None:
            self._local = self._root.kept(self._object)
        if self._local is not None:
            return self._local.read(offset, size)
        return self._root.read_range(self._object, offset, size)


@dataclass
class _Background:
    """Fetches whole files in threads that end with the process."""

    fetch: Callable[[Object], Path]
    _waiting: SimpleQueue[Object] = field(default_factory=SimpleQueue)
    _asked: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _failed: OSError | None = None

    def ask_for(self, wanted: Object) -> None:
        """Fetch a file when there is time, once. Raises OSError where the cache's disk has turned out to be full."""
        if self._failed is not None:
            raise self._failed
        with self._lock:
            if wanted.name in self._asked:
                return
            self._asked.add(wanted.name)
            self._waiting.put(wanted)
            if len(self._threads) < FETCHERS:
                thread = threading.Thread(target=self._run, name="token files", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _run(self) -> None:
        while True:
            wanted = self._waiting.get()
            try:
                self.fetch(wanted)
            except (StoreError, TokenFileError, FileNotFoundError):
                pass  # who reads a range of it will meet the same, and say so
            except OSError as error:
                self._failed = error
            finally:
                with self._lock:
                    self._asked.discard(wanted.name)


_METADATA_SERVICE: Final = "169.254.169.254"
"""Where an instance of a cloud asks for the credentials of its role; the last place that is looked at."""


def _copied(url: str, given: dict[str, Any], objects: dict[str, Object]) -> ObjectStore:
    made = ObjectStore(url, **given)
    for known in objects.values():
        made._add(known)
    return made


def _store(url: str, config: Mapping[str, str] | None, client: Mapping[str, Any] | None) -> Any:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise StoreAccessError(f"{url}: needs obstore; pip install 'falconmix[s3]'") from error
    options: dict[str, Any] = {"retry_config": _RETRIES, "client_options": {"allow_http": True} | dict(client or {})}
    if config is not None:
        options["config"] = dict(config)
    try:
        return from_url(url, **options)
    except (BaseError, ValueError) as error:
        raise StoreAccessError(
            f"{url}: cannot be used ({_first_line(error)}); give a folder, or a URL that begins with s3://, gs://, "
            "az:// or https://"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
