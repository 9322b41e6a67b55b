"""WARC files for benchmarks: one page of each language, and a crawl with more of what nobody keeps."""

from __future__ import annotations

import gzip
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pipeline.byte_source import ByteSource
from pipeline.gzip_members import MemberReader
from stages.language import ELEVEN

EXAMPLE_PAGES = Path(__file__).resolve().parent.parent / "examples" / "pages"
PIECE_BYTES = 1 << 20
GZIP_LEVEL = 6

PageKey = tuple[str, str]
"""File name and WARC-Record-ID of a response."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A WARC record as it stands in its own gzip member."""

    offset: int
    data: bytes

    def field(self, name: str) -> str:
        """The value of a header field, empty where there is none."""
        head = self.data.partition(b"\r\n\r\n")[0]
        found = re.search(rb"^%s:[ \t]*(.*?)\r?$" % name.encode(), head, re.MULTILINE | re.IGNORECASE)
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def is_response(self) -> bool:
        return self.field("WARC-Type") == "response"


def records(path: Path) -> Iterator[Record]:
    """The records of a file that holds one in each gzip member; SystemExit for another one."""
    with path.open("rb") as raw:
        source = ByteSource(raw.read)
        while not source.ended():
            reader = MemberReader(source)
            data = b"".join(iter(lambda: reader.read(PIECE_BYTES), b""))  # noqa: B023 - used up in this turn
            if reader.damage:
                raise SystemExit(
                    f"{path}: {reader.damage} at byte {reader.member_start}; give undamaged .warc.gz files"
                )
            yield Record(offset=reader.member_start, data=data)


def responses(paths: Iterable[Path]) -> dict[tuple[str, int], PageKey]:
    """The responses of all files, by file name and offset."""
    return {
        (path.name, record.offset): (path.name, record.field("WARC-Record-ID"))
        for path in paths
        for record in records(path)
        if record.is_response
    }


def write_start_up(folder: Path) -> Path:
    """A WARC with one page of each language, all of which reach the last filter: what starting costs, and no more."""
    folder.mkdir()
    path = folder / "start-up.warc.gz"
    path.write_bytes(b"".join(map(_page, ELEVEN)))
    return path


def _page(language: str) -> bytes:
    text = (EXAMPLE_PAGES / f"{language}.md").read_text(encoding="utf-8")
    paragraphs = [line for line in text.splitlines() if line and not line.startswith("#")][:3]
    body = f"<html><body>{''.join(f'<p>{line}</p>' for line in paragraphs)}</body></html>"
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()
    header = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/{language}\r\n"
        f"WARC-Date: 2023-09-21T12:00:00Z\r\nWARC-Record-ID: <urn:uuid:{language}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return _member(header.encode() + block + b"\r\n\r\n")


def copies_needed(n_pages: int, n_doomed: int, share: float) -> int:
    """How many copies of doomed pages make them `share` of all."""
    return max(0, round((share * n_pages - n_doomed) / (1 - share)))


def write_doomed(paths: Sequence[Path], doomed: Collection[PageKey], share: float, folder: Path) -> list[Path]:
    """Write the files again with copies of the `doomed` captures behind each, until they are `share` of all responses.

    A capture is copied whole, with its request and metadata; record ids and addresses of copies are their own.
    """
    n_pages = len(responses(paths))
    each, more = divmod(copies_needed(n_pages, len(doomed), share), max(len(doomed), 1))
    folder.mkdir()
    n_copied = 0
    for path in paths:
        with (folder / path.name).open("wb") as stream:
            for capture in captures(path):
                stream.writelines(_member(record.data) for record in capture)
                if any(
                    (path.name, record.field("WARC-Record-ID")) in doomed for record in capture if record.is_response
                ):
                    for number in range(each + (n_copied < more)):
                        stream.writelines(_member(renamed(record, number + 1)) for record in capture)
                    n_copied += 1
    return [folder / path.name for path in paths]


def captures(path: Path) -> Iterator[list[Record]]:
    """Records of one fetch together: those in a row that have the same target, each type once."""
    for _, group in groupby(records(path), lambda record: record.field("WARC-Target-URI")):
        capture: dict[str, Record] = {}
        for record in group:
            kind = record.field("WARC-Type")
            if kind in capture:
                yield list(capture.values())
                capture = {}
            capture[kind] = record
        yield list(capture.values())


def renamed(record: Record, number: int) -> bytes:
    """The record with other record ids and another address: as if the page had been met again elsewhere."""
    head, end, block = record.data.partition(b"\r\n\r\n")
    mark = b"-copy-%d" % number
    head = re.sub(rb"(?im)^(WARC-(?:Record-ID|Concurrent-To):[ \t]*<[^>\r\n]*)>", rb"\1%s>" % mark, head)
    query = b"&" if b"?" in record.field("WARC-Target-URI").encode() else b"?"
    head = re.sub(rb"(?im)^(WARC-Target-URI:[ \t]*<?[^\s>]*)", rb"\1%scopy=%d" % (query, number), head)
    return head + end + block


def _member(data: bytes) -> bytes:
    return gzip.compress(data, GZIP_LEVEL, mtime=0)
