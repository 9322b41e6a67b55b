"""Whether a mutated page can do harm: real pages, damaged in many ways, through reader, gates, extraction and rules.

Example: python benchmarks/fuzz.py --input ../shared/data/warc --pages 100000 --json

Every page goes the way of a run: a WARC record in a gzip member, the reader, the gates on capture and address, the
guarded process, the rules on the text. A crash is a process that died, a page that passed its CPU limit, or an
exception that reached this program; pages that end in a verdict `error:…` are counted apart, by name.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from given import WARC_SUFFIXES, files_of
from pipeline import recipe
from pipeline.file_report import FileReport
from pipeline.inputs import Input, resolve
from pipeline.models import compile_block_table
from pipeline.recipe import Recipe, UrlRecipe
from pipeline.store import Store
from pipeline.tools import open_tools
from pipeline.unit import Sieve
from pipeline.warc import read_captures

BATCH_PAGES = 500
_MARKUP = b"""< > </ <!-- --> <![CDATA[ ]]> <? </table> <noscript> <plaintext> <textarea> <script> </script> <style>
<frameset> <svg><math> <template> <table><tr><td> <br/> <meta\tcharset=utf-7> <meta\tcharset=utf-16> ' " =
<base\thref=x> <a\thref='javascript: <div\tdata-preloaded='{'> <script\ttype="application/ld+json">{"articleBody":
&amp &nbsp; &#0; &#x110000; &#99999999999999999999; <!doctype\thtml> HTTP/1.1\t200 WARC/1.0"""
_BYTES = (
    b"\0",
    b"\r",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xfe\xff",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x1f\x8b\x08",
)
_MANY = {b"<p>": 300, b"<div>": 600, b"<b><i>": 100, b"<td>": 300, b"<li>": 300, b"x": 5000, b"&lt;": 500, b"\n": 2000}
FRAGMENTS = (
    *_MARKUP.split(b" "),
    *_BYTES,
    *(piece * times for piece, times in _MANY.items()),
    b"<a " + b"x=1 " * 300 + b">",
    b"<img alt='" + b"y" * 3000 + b"'>",
)
HEADERS = (
    b"Content-Type: text/html; charset=utf-16",
    b"Content-Type: text/html; charset=x-user-defined",
    b"Content-Type: ;;;",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Encoding: zstd, deflate",
    b"Transfer-Encoding: chunked",
    b"Content-Length: -1",
    b"X-Robots-Tag: noai,,:",
    b": no name",
    b"\xff: \xfe",
    b"",
)
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def main() -> None:
    """Parse the command line, mutate, read, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--pages", type=int, default=100_000)
    parser.add_argument("--max-bytes", type=int, default=30_000, help="of longer pages a random stretch is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    pages = read_pages(options.input)
    figures = fuzz(pages, options.pages, options.max_bytes, options.seed)
    for name, value in figures.items():
        print(f"{name:<12} {value}")
    if options.json:
        print(json.dumps(figures))


def read_pages(path: str) -> list[bytes]:
    """The bodies of all pages below `path` that are not empty."""
    bodies = []
    for source in resolve([str(file) for file in files_of(path, WARC_SUFFIXES)]):
        with Path(source.path).open("rb") as stream:
            captures = read_captures(stream, warc_path=source.warc_path, report=FileReport())
            bodies += [capture.payload for capture in captures if capture.payload]
    return bodies


def fuzz(pages: Sequence[bytes], n: int, max_bytes: int, seed: int) -> dict[str, Any]:
    """Mutate and read `n` pages; the pages of a seed are always the same."""
    mutations: Counter[str] = Counter()
    reports = []
    started_s, slowest_s = time.process_time(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        chosen = _recipe()
        compile_block_table(Store(Path(folder)), chosen)
        tools = open_tools(chosen, Path(folder), "fuzz")
        for at in range(0, n, BATCH_PAGES):
            records = [
                _record(i, *_mutated(random.Random(f"{seed} {i}"), pages, max_bytes, mutations))
                for i in range(at, min(at + BATCH_PAGES, n))
            ]
            child_s = tools.guard.cpu_s
            reports.append(_read(b"".join(records), chosen, tools))
            slowest_s = max(slowest_s, (tools.guard.cpu_s - child_s) / len(records))
        guard_s = tools.guard.cpu_s
        tools.guard.close()
    return _figures(n, reports, mutations) | {
        "cpu_ms": (time.process_time() - started_s + guard_s) / n * 1e3,
        "slowest_batch_ms": slowest_s * 1e3,
    }


def _recipe() -> Recipe:
    """The default recipe, without the block list, which made-up addresses do not need."""
    return replace(recipe.load("refinedweb"), url=UrlRecipe(block_lists=()))


def _read(data: bytes, chosen: Recipe, tools: Any) -> dict[str, Any]:
    report = FileReport()
    source = Input(path="", warc_path="fuzz.warc.gz", size=len(data), digest="")
    sieve = Sieve(source, tools)
    sieve.take(
        read_captures(io.BytesIO(data), warc_path=source.warc_path, size=len(data), limits=chosen.reader, report=report)
    )
    rules = [row["verdict"] for row in sieve.tables["extracted"].table().select(["verdict"]).to_pylist()]
    errors = Counter(verdict["rule"] for verdict in rules if verdict and verdict["rule"].startswith("error:"))
    assert report.stream_size == len(data), "every byte is in a record, padding or a damaged range"
    return sieve.decided() | {"errors": errors, "damaged": len(report.damaged), "records": report.types["response"]}


def _figures(n: int, reports: Sequence[dict[str, Any]], mutations: Counter[str]) -> dict[str, Any]:
    funnel: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for report in reports:
        funnel.update(report["funnel"])
        errors.update(report["errors"])
    return {
        "pages": n,
        "read": sum(report["records"] for report in reports),
        "decided": funnel.total(),
        "crashes": sum(report["poisoned"] for report in reports),
        "damaged": sum(report["damaged"] for report in reports),
        "errors": dict(errors),
        "kept": funnel["kept"],
        "funnel": dict(funnel.most_common()),
        "mutations": dict(mutations.most_common()),
    }


def _record(number: int, header: bytes, body: bytes) -> bytes:
    block = header + b"\r\n\r\n" + body
    warc = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:fuzz:{number}>\r\nWARC-Date: 2023-09-21T12:00:00Z\r\n"
        f"WARC-Target-URI: http://fuzz.example/{number}\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(warc.encode() + block + b"\r\n\r\n", 1)


def _mutated(
    rng: random.Random, pages: Sequence[bytes], max_bytes: int, mutations: Counter[str]
) -> tuple[bytes, bytes]:
    """HTTP header and body of one mutated page."""
    body = rng.choice(pages)
    if len(body) > max_bytes:
        start = rng.randrange(len(body) - max_bytes)
        body = body[start : start + max_bytes]
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(list(MUTATIONS))
        mutations[name] += 1
        body = MUTATIONS[name](rng, body, pages)[: 4 * max_bytes]
    fields = [b"HTTP/1.1 200 OK", b"Content-Type: text/html; charset=utf-8"]
    if rng.random() < 0.2:
        mutations["header"] += 1
        fields[1:] = rng.sample(HEADERS, rng.randint(1, 3))
    return b"\r\n".join(fields), body


def _flip(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    data = bytearray(body)
    for _ in range(min(len(data), rng.randint(1, 40))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _slice(rng: random.Random, body: bytes) -> tuple[int, int]:
    start = rng.randrange(len(body) + 1)
    return start, min(len(body), start + rng.randint(1, 2000))


def _delete(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, body)
    return body[:start] + body[end:]


def _repeat(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, body)
    return body[:start] + body[start:end] * rng.randint(2, 30) + body[end:]


def _swap(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _slice(rng, body)
    place = rng.randrange(len(body) + 1)
    rest = body[:start] + body[end:]
    return rest[:place] + body[start:end] + rest[place:]


def _insert(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(body) + 1)
        body = body[:place] + rng.choice(FRAGMENTS) + body[place:]
    return body


def _splice(rng: random.Random, body: bytes, pages: Sequence[bytes]) -> bytes:
    other = rng.choice(pages)
    start, end = _slice(rng, other)
    place = rng.randrange(len(body) + 1)
    return body[:place] + other[start:end] + body[place:]


def _truncate(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _recode(rng: random.Random, body: bytes, _: Sequence[bytes]) -> bytes:
    codec = rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-7", "cp1252", "cp1250", "shift_jis", "cp037"))
    return body.decode("utf-8", "replace").encode(codec, "replace")


MUTATIONS: dict[str, Mutation] = {
    "flip": _flip,
    "delete": _delete,
    "repeat": _repeat,
    "swap": _swap,
    "insert": _insert,
    "splice": _splice,
    "truncate": _truncate,
    "recode": _recode,
}

if __name__ == "__main__":
    main()
