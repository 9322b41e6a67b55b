"""Kernels over addresses as bytes: which are in canonical form already, and which a table of keys holds.

Most addresses of a crawl are canonical as they stand; `stages.canonical_url` is asked about the others only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.canonical_url import TRACKING, TRACKING_PREFIX, canonical
from stages.compiled import compiled
from stages.segment import Bytes, Hashes, Utf8, hash_end, hash_seed, hash_step, utf8_of

Places = NDArray[np.int64]

NOT_PLAIN, HOST_ALONE, ADDRESS = 0, 1, 2
"""What may follow a scheme: something to normalise; a host without path; a canonical host, path and query."""

_IN_HOST, _IN_PATH = np.uint8(1), np.uint8(2)
_DOT, _SLASH, _COLON, _QUESTION, _AND, _OPEN, _CLOSE, _NEWLINE, _BLANK = (np.uint8(ord(char)) for char in "./:?&[]\n ")
_DOMAIN, _PAGE = np.uint32(ord("@")), np.uint32(ord("/"))  # a domain is not the address of its front page
_BUCKETS = 1 << 16
_BUCKET_SHIFT = np.uint64(48)


class Syntax(NamedTuple):
    """Per byte: whether it may stand in a host, in a path. `tracking`: the beginnings of parameters to drop, padded."""

    classes: Bytes
    tracking: Bytes


class KeyTable(NamedTuple):
    """Sorted keys, and where each of 2¹⁶ equal parts of the key space begins among them."""

    keys: Hashes
    buckets: Places


def _syntax() -> Syntax:
    lower = "abcdefghijklmnopqrstuvwxyz"
    classes = np.zeros(256, np.uint8)
    classes[[ord(char) for char in lower + "0123456789._-"]] |= _IN_HOST
    classes[[ord(char) for char in lower + lower.upper() + "0123456789_!$&'()*+,;=:@/?.~-"]] |= _IN_PATH
    names = sorted({*TRACKING, TRACKING_PREFIX})
    tracking = np.zeros((len(names), max(map(len, names)) + 1), np.uint8)
    for row, name in enumerate(names):
        tracking[row, : len(name)] = list(name.encode())
    return Syntax(classes, tracking)


_SYNTAX = _syntax()


def canonical_column(urls: pa.Array[Any]) -> pa.Array[Any]:
    """`canonical` of every address of a string column without nulls."""
    plain = pa.array(_is_canonical(utf8_of(urls), _SYNTAX))
    if pc.all(plain).as_py() is not False:
        return urls
    others = [canonical(url) for url in urls.filter(pc.invert(plain)).to_pylist()]
    return pc.replace_with_mask(urls, pc.invert(plain), pa.array(others, urls.type))


def key_table(keys: Hashes) -> KeyTable:
    """Prepare sorted, unique keys, which may be mapped from disk, for `find_listed`."""
    starts = np.arange(_BUCKETS, dtype=np.uint64) << _BUCKET_SHIFT
    return KeyTable(keys, np.append(np.searchsorted(keys, starts), len(keys)).astype(np.int64))


def domain_key(domain: bytes) -> int:
    """Key of a domain in canonical form."""
    return int(_key(_DOMAIN, np.frombuffer(domain, np.uint8), 0, len(domain)))


def page_key(canonical_url: bytes) -> int:
    """Key of an address in canonical form, whatever its scheme, `www.` or slash at the end."""
    data = np.frombuffer(canonical_url, np.uint8)
    return int(_key(_PAGE, data, *_page_bounds(data, 0, len(data))))


def keys_of_lines(lines: bytes) -> tuple[Hashes, Places]:
    """Keys of a list, one entry a line, and start and end of the lines that are to be normalised first, int64[n, 2].

    A line without a slash is a domain, any other an address without scheme.
    """
    return _keys_of_lines(np.frombuffer(lines, np.uint8), _SYNTAX)


def find_listed(urls: pa.Array[Any], table: KeyTable) -> Places:
    """For each canonical address, where the entry that lists it stands in it, as bytes start and end; -1 for none.

    int64[n, 2]. Domains come before the address itself, the most specific first; a listed domain lists its subdomains.
    """
    return _find_listed(utf8_of(urls), table.keys, table.buckets)


@compiled
def _begins(data: Bytes, at: int, end: int, prefix: Bytes) -> bool:
    """Whether `prefix`, padded by zeros and in lower case, stands at `at` in any case."""
    for i in range(prefix.size):
        if prefix[i] == 0:
            return True
        if at + i >= end:
            return False
        byte = data[at + i]
        if 65 <= byte <= 90:
            byte |= np.uint8(32)
        if byte != prefix[i]:
            return False
    return True


@compiled
def _is_tracking(data: Bytes, at: int, end: int, tracking: Bytes) -> bool:
    found = False
    for row in range(tracking.shape[0]):
        found = found or _begins(data, at, end, tracking[row])
    return found


@compiled
def _after_scheme(data: Bytes, start: int, end: int, syntax: Syntax) -> int:
    """Classify what follows `://`; NOT_PLAIN where it might not be in canonical form."""
    at = start
    while at < end and syntax.classes[data[at]] & _IN_HOST:
        at += 1
    if at == start or data[at - 1] == _DOT:
        return NOT_PLAIN
    if at == end:
        return HOST_ALONE
    if data[at] != _SLASH:
        return NOT_PLAIN
    in_query = False
    for i in range(at, end):
        byte = data[i]
        if not syntax.classes[byte] & _IN_PATH:
            return NOT_PLAIN
        if in_query:
            new_pair = data[i - 1] == _AND
        elif byte == _QUESTION:
            in_query, new_pair = True, False
            if i + 1 == end or _is_tracking(data, i + 1, end, syntax.tracking):
                return NOT_PLAIN
        else:
            new_pair = False
            if byte == _DOT and data[i - 1] == _SLASH:
                return NOT_PLAIN
        if new_pair and _is_tracking(data, i, end, syntax.tracking):
            return NOT_PLAIN
    return ADDRESS


@compiled
def _scheme_end(data: Bytes, start: int, end: int) -> int:
    """The position after `http://` or `https://` at `start`, in lower case; -1 where something else stands there."""
    at = start
    for byte in b"http":
        if at >= end or data[at] != byte:
            return -1
        at += 1
    if at < end and data[at] == 115:
        at += 1
    for byte in b"://":
        if at >= end or data[at] != byte:
            return -1
        at += 1
    return at


@compiled
def _is_canonical(text: Utf8, syntax: Syntax) -> NDArray[np.bool_]:
    n = text.offsets.size - 1
    out = np.zeros(n, np.bool_)
    for i in range(n):
        start = _scheme_end(text.data, text.offsets[i], text.offsets[i + 1])
        out[i] = start >= 0 and _after_scheme(text.data, start, text.offsets[i + 1], syntax) == ADDRESS
    return out


@compiled
def _key(kind: np.uint32, data: Bytes, start: int, end: int) -> np.uint64:
    state = hash_step(hash_seed(), kind)
    for i in range(start, end):
        state = hash_step(state, np.uint32(data[i]))
    return hash_end(state)


@compiled
def _after_www(data: Bytes, start: int, end: int) -> int:
    at = start
    for byte in b"www.":
        if at >= end or data[at] != byte:
            return start
        at += 1
    return at


@compiled
def _without_slashes(data: Bytes, start: int, end: int) -> int:
    while end > start and data[end - 1] == _SLASH:
        end -= 1
    return end


@compiled
def after_authority_mark(data: Bytes, start: int, end: int) -> int:
    """The position after the first `://`; `end` where there is none."""
    for i in range(start, end - 2):
        if data[i] == _COLON and data[i + 1] == _SLASH and data[i + 2] == _SLASH:
            return i + 3
    return end


@compiled
def _page_bounds(data: Bytes, start: int, end: int) -> tuple[int, int]:
    first = _after_www(data, after_authority_mark(data, start, end), end)
    return first, _without_slashes(data, first, end)


@compiled
def _host_bounds(data: Bytes, start: int, end: int) -> tuple[int, int]:
    """Where the host of a canonical address stands, less port and `www.`."""
    first = after_authority_mark(data, start, end)
    last = first
    while last < end and data[last] != _SLASH:
        last += 1
    if first < last and data[first] == _OPEN:  # an IPv6 address holds colons
        for i in range(first, last):
            if data[i] == _CLOSE:
                return first, i + 1
    for i in range(first, last):
        if data[i] == _COLON:
            last = i
            break
    return _after_www(data, first, last), last


@compiled
def _holds(keys: Hashes, buckets: Places, key: np.uint64) -> bool:
    bucket = key >> _BUCKET_SHIFT
    low, high = buckets[bucket], buckets[bucket + np.uint64(1)]
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return bool(low < keys.size and keys[low] == key)


@compiled
def _find_listed(text: Utf8, keys: Hashes, buckets: Places) -> Places:
    n = text.offsets.size - 1
    out = np.full((n, 2), -1, np.int64)
    for i in range(n):
        start, end = text.offsets[i], text.offsets[i + 1]
        first, last = _host_bounds(text.data, start, end)
        labels = 1
        for at in range(first, last):
            labels += text.data[at] == _DOT
        at = first
        while at < last:
            if _holds(keys, buckets, _key(_DOMAIN, text.data, at, last)):
                out[i, 0], out[i, 1] = at - start, last - start
                break
            while at < last and text.data[at] != _DOT:
                at += 1
            at, labels = at + 1, labels - 1
            if labels < 2:
                break
        if out[i, 0] < 0:
            first, last = _page_bounds(text.data, start, end)
            if first < end and _holds(keys, buckets, _key(_PAGE, text.data, first, last)):
                out[i, 0], out[i, 1] = first - start, last - start
    return out


@compiled
def _keys_of_lines(data: Bytes, syntax: Syntax) -> tuple[Hashes, Places]:
    n_lines = 1
    for byte in data:
        n_lines += byte == _NEWLINE
    keys, others = np.empty(n_lines, np.uint64), np.empty((n_lines, 2), np.int64)
    n, n_others, line = 0, 0, 0
    while line < data.size:
        end = line
        while end < data.size and data[end] != _NEWLINE:
            end += 1
        first, last = line, end
        while first < last and data[first] <= _BLANK:
            first += 1
        while last > first and data[last - 1] <= _BLANK:
            last -= 1
        line = end + 1
        if first == last:
            continue
        kind = _after_scheme(data, first, last, syntax)
        bare = _after_www(data, first, last)
        if kind == NOT_PLAIN or bare == last:
            others[n_others, 0], others[n_others, 1] = first, last
            n_others += 1
            continue
        first = bare
        if kind == HOST_ALONE:
            keys[n] = _key(_DOMAIN, data, first, last)
        else:
            keys[n] = _key(_PAGE, data, first, _without_slashes(data, first, last))
        n += 1
    return keys[:n].copy(), others[:n_others].copy()
