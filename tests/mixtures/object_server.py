"""An object store for tests: files below a folder by `GET` and `HEAD`, with ranges, ETags and faults."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fault = Callable[[str, int], str | None]
"""By name and number of the request: `503`, `403`, `reset`, `truncate`, or None."""


@dataclass
class ObjectServer:
    """Serves `folder` as the bucket `bucket`; `asked` has (method, name, first byte, end) of every request."""

    folder: Path
    fault: Fault = lambda name, number: None
    asked: list[tuple[str, str, int, int]] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def config(self) -> dict[str, str]:
        """What obstore needs to find it as S3."""
        return {"endpoint": self.url, "region": "us-east-1", "skip_signature": "true"}

    def fetched(self, suffix: str) -> dict[str, int]:
        """Bytes that were asked for of each object with that suffix."""
        found: dict[str, int] = {}
        for method, name, first, end in self.asked:
            if method == "GET" and name.endswith(suffix):
                found[name] = found.get(name, 0) + end - first
        return found


@contextmanager
def serving(folder: Path) -> Iterator[ObjectServer]:
    """A server for the length of the block."""
    state = ObjectServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.removeprefix("/bucket/").replace("%3D", "=").partition("?")[0]
            path = state.folder / name
            content = path.read_bytes() if path.is_file() else None
            first, end = self._range(len(content or b""))
            with state.lock:
                state.asked.append((self.command, name, first, end))
                fault = state.fault(name, len(state.asked))
            etag = f'"{hashlib.md5(content or b"").hexdigest()}"'
            if fault in ("503", "403"):
                self._answer(int(fault), b"<Error><Code>Fault</Code></Error>")
            elif fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
            elif content is None:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif self.headers.get("If-Match", etag) != etag:
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            else:
                self._content(content, first, end, etag, cut=fault == "truncate")

        do_HEAD = do_GET

        def _range(self, size: int) -> tuple[int, int]:
            given = self.headers.get("Range")
            if not given:
                return 0, size
            first, last = given.removeprefix("bytes=").split("-")
            return int(first), min(int(last) + 1, size)

        def _content(self, content: bytes, first: int, end: int, etag: str, *, cut: bool) -> None:
            part = content[first:end]
            partial = "Range" in self.headers
            self.send_response(206 if partial else 200)
            if partial:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(content)}")
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part[: len(part) // 2] if cut else part)
            self.close_connection = cut

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
