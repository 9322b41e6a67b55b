"""A page's markup read in one pass, without building a tree: its text, its tags, how deeply they nest.

The tokenizer follows the HTML standard (section 13.2.5) where that decides what is text: comments, quoted attribute
values, the contents of `<script>` and `<style>`. Where a page breaks off inside one of these, it errs towards text,
so that what it returns holds every word that a tree builder finds. Cost: linear, whatever the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint64]

_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
# Their end tags may be left out: a new one closes the last, so unclosed ones do not nest.
_SELF_ENDING = ("body", "colgroup", "dd", "dt", "head", "html", "li", "optgroup", "option", "p", "rp", "rt")
_TABLE_PARTS = ("tbody", "td", "tfoot", "th", "thead", "tr")
_SCRIPTS = ("script", "style")
# Tags in these are text; without its end tag, one takes the rest of the page.
_VERBATIM = ("iframe", "noembed", "noframes", "plaintext", "textarea", "title", "xmp")

_LT, _GT, _SLASH, _BANG, _DASH, _EQ, _DQ, _SQ, _SPACE, _OPEN, _QUESTION = (
    np.uint8(ord(char)) for char in "<>/!-=\"' [?"
)
# tags, deepest nesting, cells, rows, list items, most attributes of a tag, most cells of a row, of this, meta tags
_N_COUNTS = 9
_MAX_METAS = 256  # meta tags that are kept: honest pages have some dozens


@dataclass(frozen=True)
class Markup:
    """What `scan` found. `text` is UTF-8 with entities as written; each tag is one space in it.

    `metas`: what stands between `<meta` and the end of the tag, of the first 256."""

    text: bytes
    n_tags: int
    max_depth: int
    n_cells: int
    n_rows: int
    n_items: int
    max_attributes: int
    max_cells: int
    metas: tuple[str, ...]


def _code(name: str) -> np.uint64:
    """A tag name as one number: its first eight letters, the first lowest. No two names that matter here collide."""
    return np.uint64(int.from_bytes(name.encode("ascii")[:8], "little"))


def _codes(names: tuple[str, ...]) -> Codes:
    return np.array(sorted(map(_code, names)), np.uint64)


_FLAT_CODES = _codes(_VOID + _SELF_ENDING + _TABLE_PARTS + _SCRIPTS + _VERBATIM)
_VERBATIM_CODES = _codes(_VERBATIM)
_TD, _TH, _TR, _LI, _META = map(_code, ("td", "th", "tr", "li", "meta"))
_SCRIPT, _STYLE, _SVG, _MATH = map(_code, ("script", "style", "svg", "math"))


@compiled
def _is_letter(byte: int) -> bool:
    return 97 <= (byte | 32) <= 122


@compiled
def _is_space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@compiled
def _holds(codes: Codes, code: np.uint64) -> bool:
    for known in codes:
        if known >= code:
            return bool(known == code)
    return False


@compiled
def _name_at(page: Bytes, start: int) -> tuple[np.uint64, int]:
    """The code of the tag name at `start`, and the position after it."""
    code, at = np.uint64(0), start
    while at < page.size and page[at] != _GT and page[at] != _SLASH and not _is_space(page[at]):
        if at - start < 8:
            byte = page[at] | 32 if _is_letter(page[at]) else page[at]
            code |= np.uint64(byte) << np.uint64(8 * (at - start))
        at += 1
    return code, at


@compiled
def _byte_from(page: Bytes, start: int, byte: np.uint8) -> int:
    """The position of the next `byte`; -1 where there is none."""
    for at in range(start, page.size):
        if page[at] == byte:
            return at
    return -1


@compiled
def _tag_end(page: Bytes, start: int, unpaired: NDArray[np.bool_]) -> tuple[int, int]:
    """The position after the tag whose name ends at `start`, and its attributes; no `>` in a quoted value ends it.

    `unpaired[:2]` remember that no quote of that kind follows any more, so that a page is not searched twice, and
    `unpaired[5]` that no tag is closed any more: from there on a tag is its name.
    """
    at = page.size if unpaired[5] else start
    n_attributes, is_inside, is_value = 0, False, False
    while at < page.size and page[at] != _GT:
        if page[at] != _EQ:
            is_gap = _is_space(page[at]) or (page[at] == _SLASH and not is_value)
            n_attributes += not (is_gap or is_inside)
            is_inside, is_value = not is_gap, is_value and not is_gap
            at += 1
            continue
        is_inside, is_value = True, True
        at += 1
        while at < page.size and _is_space(page[at]):
            at += 1
        if at < page.size and (page[at] == _DQ or page[at] == _SQ):
            kind = 0 if page[at] == _DQ else 1
            closing = -1 if unpaired[kind] else _byte_from(page, at + 1, page[at])
            unpaired[kind] = closing < 0
            at = closing + 1 if closing >= 0 else at + 1
            is_inside, is_value = False, False
    if at >= page.size:
        unpaired[5] = True
        return start, 0
    return at + 1, n_attributes


@compiled
def _comment_end(page: Bytes, start: int) -> int:
    """The position after the comment whose `<!--` ends at `start`; -1 where nothing ends it."""
    for at in range(start, page.size):
        if page[at] != _GT:
            continue
        last = at - 2 if page[at - 1] == _BANG else at - 1  # --!> ends it as well; the <!-- lends its dashes to <!--->
        if page[last] == _DASH and page[last - 1] == _DASH:
            return at + 1
    return -1


@compiled
def _raw_end(page: Bytes, start: int, code: np.uint64) -> int:
    """The position of the `</` that closes the element `code` whose start tag ends at `start`; -1 where none does."""
    for at in range(start, page.size - 2):
        if page[at] == _LT and page[at + 1] == _SLASH and _name_at(page, at + 2)[0] == code:
            return at
    return -1


@compiled
def _declaration_end(page: Bytes, start: int, unclosed: NDArray[np.bool_]) -> int:
    """The position after a comment, doctype or processing instruction whose `<` is at `start`."""
    if start + 3 < page.size and page[start + 2] == _DASH and page[start + 3] == _DASH and not unclosed[2]:
        end = _comment_end(page, start + 4)
        unclosed[2] = end < 0
        if end >= 0:
            return end
    end = -1 if unclosed[5] else _byte_from(page, start, _GT)
    unclosed[5] = end < 0
    return end + 1 if end >= 0 else start + 2


@compiled
def _begins_markup(page: Bytes, at: int) -> bool:
    """Say whether the `<` at `at` begins a tag, a comment or a declaration; elsewhere it is a less-than sign."""
    if at + 1 >= page.size:
        return False
    following = page[at + 1]
    if following == _SLASH:
        return at + 2 < page.size
    return _is_letter(following) or following in (_BANG, _QUESTION)


@compiled
def _contents_end(page: Bytes, at: int, code: np.uint64, verbatim: Codes, unclosed: NDArray[np.bool_]) -> int:
    """The position after what the element `code`, its start tag ending at `at`, holds without markup; else `at`."""
    if code in (_SCRIPT, _STYLE):
        kind = 3 if code == _SCRIPT else 4
        end = -1 if unclosed[kind] else _raw_end(page, at, code)
        unclosed[kind] = end < 0
        return end if end >= 0 else at
    if _holds(verbatim, code):
        end = _raw_end(page, at, code)
        return end if end >= 0 else page.size
    return at


@compiled
def _count(code: np.uint64, counts: NDArray[np.int64]) -> None:
    counts[0] += 1
    if code in (_TD, _TH):
        counts[2] += 1
        counts[7] += 1
        counts[6] = max(counts[6], counts[7])
    elif code == _TR:
        counts[3] += 1
        counts[7] = 0
    counts[4] += code == _LI


@compiled
def _scan(
    page: Bytes, flat: Codes, verbatim: Codes, text: Bytes, counts: NDArray[np.int64], metas: NDArray[np.int64]
) -> int:
    """Fill `text`, `counts` and `metas` (start, end of their attributes); return the length of the text."""
    unclosed = np.zeros(6, np.bool_)  # no more: double quotes, single quotes, ends of comment, script, style, tag
    at, size, depth, foreign = 0, 0, 0, 0
    while at < page.size:
        if page[at] != _LT or not _begins_markup(page, at):
            text[size] = page[at]
            size, at = size + 1, at + 1
            continue
        text[size] = _SPACE
        size += 1
        closing = page[at + 1] == _SLASH
        if not _is_letter(page[at + 1 + closing]):
            end = _declaration_end(page, at, unclosed)
            if at + 2 < end and page[at + 2] == _OPEN:  # <![CDATA[: a comment in HTML, text in what it embeds
                text[size : size + end - at - 3] = page[at + 3 : end]
                size += end - at - 3
            at = end
            continue
        code, name_end = _name_at(page, at + 1 + closing)
        at, n_attributes = _tag_end(page, name_end, unclosed)
        nests = not _holds(flat, code)
        if closing:
            depth -= nests and depth > 0
            foreign -= (code in (_SVG, _MATH)) and foreign > 0
            continue
        _count(code, counts)
        if code == _META:
            if counts[8] < metas.shape[0]:
                metas[counts[8], 0], metas[counts[8], 1] = name_end, at - 1
            counts[8] += 1
        counts[5] = max(counts[5], n_attributes)
        if nests and not (foreign > 0 and page[at - 2] == _SLASH):  # only foreign elements can close themselves
            depth += 1
            counts[1] = max(counts[1], depth)
            foreign += code in (_SVG, _MATH)
        end = _contents_end(page, at, code, verbatim, unclosed)
        if end > at and _holds(verbatim, code):
            text[size : size + end - at] = page[at:end]
            size += end - at
        at = end
    return size


def scan(html: str) -> Markup:
    """Read the markup of `html`. Depth is an upper bound: elements that a browser would close are taken as open."""
    page = np.frombuffer(html.encode("utf-8", "replace"), np.uint8)
    text, counts = np.empty(page.size, np.uint8), np.zeros(_N_COUNTS, np.int64)
    spans = np.empty((_MAX_METAS, 2), np.int64)
    size = _scan(page, _FLAT_CODES, _VERBATIM_CODES, text, counts, spans)
    n_tags, max_depth, n_cells, n_rows, n_items, max_attributes, max_cells, _, n_metas = counts.tolist()
    metas = tuple(page[start:end].tobytes().decode("utf-8", "replace") for start, end in spans[:n_metas].tolist())
    return Markup(text[:size].tobytes(), n_tags, max_depth, n_cells, n_rows, n_items, max_attributes, max_cells, metas)
