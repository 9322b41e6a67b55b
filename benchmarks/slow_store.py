"""An object store on this machine that takes its time: files below a folder, by ranges, each answer after a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def serving(folder: Path, latency_ms: float) -> Iterator[str]:
    """Serve `folder` for the length of the block; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(latency_ms / 1000)
            path = folder / self.path.lstrip("/").replace("%3D", "=")
            if not path.is_file():
                self.send_error(404)
                return
            size, given = path.stat().st_size, self.headers.get("Range")
            first, last = map(int, given.removeprefix("bytes=").split("-")) if given else (0, size - 1)
            with path.open("rb") as file:
                file.seek(first)
                content = file.read(min(last + 1, size) - first)
            self.send_response(206 if given else 200)
            if given:
                self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{size}")
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            self.send_header("ETag", f'"{size}"')
            self.send_header("Content-Length", str(len(content) if self.command == "GET" else size))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET()

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
