"""Writes captures as WARC files in Common Crawl's layout: one gzip member per record, the same bytes on every run."""

import hashlib
import json
from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from warcio.statusandheaders import StatusAndHeaders  # type: ignore[import-untyped]
from warcio.warcwriter import WARCWriter  # type: ignore[import-untyped]

from sample.captures import Capture

CRAWL = "CC-MAIN-2024-10-sample"
FIRST_FETCH = datetime(2024, 3, 2, 6, 0, 0, tzinfo=UTC)
SECONDS_BETWEEN_FETCHES = 41
DAMAGED_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """A capture with its place in the crawl, from which its date and the ids of its records follow."""

    number: int
    capture: Capture

    @property
    def time(self) -> datetime:
        """When the page was fetched."""
        return FIRST_FETCH + timedelta(seconds=SECONDS_BETWEEN_FETCHES * self.number)

    def record_headers(self, record_type: str) -> dict[str, str]:
        """The WARC headers that a record of this fetch has of its own."""
        headers = {"WARC-Record-ID": self._record_id(record_type), "WARC-Date": _iso(self.time)}
        if record_type != "metadata":
            headers["WARC-IP-Address"] = f"192.0.2.{self.number % 250 + 1}"
        if record_type != "request":
            concurrent = "request" if record_type != "metadata" else self.answer_type
            headers["WARC-Concurrent-To"] = self._record_id(concurrent)
        return headers

    @property
    def answer_type(self) -> str:
        """The WARC-Type of the record that holds what the server answered."""
        return "revisit" if self.capture.revisit_of else "response"

    def _record_id(self, record_type: str) -> str:
        return _record_id(f"{self.number}/{record_type}")


def write_sample(captures: Sequence[Capture], folder: Path, *, n_files: int = 3) -> list[Path]:
    """Write `sample-00000.warc.gz` and so on into `folder`, and `captures.json`, which says what each capture is.

    Captures are dealt out to the files by turns. Returns the WARC files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fetches = [Fetch(number=i, capture=capture) for i, capture in enumerate(captures)]
    first_by_url = {fetch.capture.url: fetch for fetch in reversed(fetches)}
    paths = [folder / f"sample-{i:05}.warc.gz" for i in range(n_files)]
    manifest = []
    for i, path in enumerate(paths):
        manifest += _write_file(path, fetches[i::n_files], first_by_url)
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "captures.json").write_text(text + "\n", encoding="utf-8")
    return paths


def _write_file(path: Path, fetches: Sequence[Fetch], first_by_url: Mapping[str, Fetch]) -> list[dict[str, Any]]:
    rows = []
    with path.open("w+b") as out:
        writer = WARCWriter(out, gzip=True, warc_version="1.0")
        writer.write_record(_warcinfo(writer, path.name))
        for fetch in fetches:
            writer.write_record(_request(writer, fetch))
            start = out.tell()
            writer.write_record(_answer(writer, fetch, first_by_url))
            end = out.tell()
            writer.write_record(_metadata(writer, fetch))
            if fetch.capture.damaged:
                _damage(out, (start + end) // 2)
            rows.append(_manifest_row(fetch.capture, path.name, start, end - start))
    return rows


def _warcinfo(writer: WARCWriter, file_name: str) -> Any:
    info = f"isPartOf: {CRAWL}\r\npublisher: falconmix sample\r\nformat: WARC File Format 1.0\r\n".encode()
    headers = {
        "WARC-Record-ID": _record_id(f"{file_name}/warcinfo"),
        "WARC-Date": _iso(FIRST_FETCH),
        "WARC-Filename": file_name,
    }
    return writer.create_warc_record("", "warcinfo", BytesIO(info), len(info), warc_headers_dict=headers)


def _request(writer: WARCWriter, fetch: Fetch) -> Any:
    url = urlsplit(fetch.capture.url)
    headers = [("User-Agent", "CCBot/2.0 (https://commoncrawl.org/faq/)"), ("Host", url.netloc)]
    http = StatusAndHeaders(f"GET {url.path or '/'} HTTP/1.1", headers, is_http_request=True)
    return writer.create_warc_record(
        fetch.capture.url,
        "request",
        BytesIO(b""),
        0,
        http_headers=http,
        warc_headers_dict=fetch.record_headers("request"),
    )


def _answer(writer: WARCWriter, fetch: Fetch, first_by_url: Mapping[str, Fetch]) -> Any:
    capture = fetch.capture
    headers = fetch.record_headers(fetch.answer_type)
    if capture.truncated:
        headers["WARC-Truncated"] = capture.truncated
    http = StatusAndHeaders(capture.status, _http_headers(fetch), protocol="HTTP/1.1")
    if capture.revisit_of:
        first = first_by_url[capture.revisit_of]
        digest = "sha1:" + b32encode(hashlib.sha1(first.capture.body).digest()).decode()
        return writer.create_revisit_record(
            capture.url, digest, capture.revisit_of, _iso(first.time), http_headers=http, warc_headers_dict=headers
        )
    body = BytesIO(capture.body)
    return writer.create_warc_record(
        capture.url, "response", body, len(capture.body), http_headers=http, warc_headers_dict=headers
    )


def _metadata(writer: WARCWriter, fetch: Fetch) -> Any:
    fields = f"fetchTimeMs: {150 + fetch.number * 37 % 900}\r\n".encode()
    headers = fetch.record_headers("metadata")
    return writer.create_warc_record(
        fetch.capture.url, "metadata", BytesIO(fields), len(fields), warc_headers_dict=headers
    )


def _http_headers(fetch: Fetch) -> list[tuple[str, str]]:
    headers = [("Date", format_datetime(fetch.time, usegmt=True)), *fetch.capture.headers, ("Server", "nginx")]
    # A server names the length or sends chunks, and nothing but chunks says how long a chunked body is.
    if "Transfer-Encoding" not in dict(headers):
        headers.append(("Content-Length", str(len(fetch.capture.body))))
    return headers


def _damage(out: Any, middle: int) -> None:
    """Invert some bytes in the middle of a gzip member, and leave the file positioned at its end."""
    out.seek(middle)
    spoilt = bytes(byte ^ 0xFF for byte in out.read(DAMAGED_BYTES))
    out.seek(middle)
    out.write(spoilt)
    out.seek(0, 2)


def _manifest_row(capture: Capture, file_name: str, offset: int, length: int) -> dict[str, Any]:
    return {
        "url": capture.url,
        "kind": capture.kind,
        "lang": capture.lang,
        "source": capture.source,
        "file": file_name,
        "offset": offset,
        "length": length,
    }


def _record_id(name: str) -> str:
    return f"<urn:uuid:{uuid5(NAMESPACE_URL, f'https://sample.example/{CRAWL}/{name}')}>"


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
