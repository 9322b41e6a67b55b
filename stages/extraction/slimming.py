"""A page's markup without what trafilatura never looks at, so that its tree is built, copied and walked more cheaply.

Two thirds of a page's bytes are scripts, styles, comments, and attributes that no rule of trafilatura's names. One pass
over the bytes leaves them out before the tree is built:

- attributes other than those that a rule reads (`_READ`, `TESTED`), and classes, ids and styles that no rule takes
  notice of; elements that are read by other names keep all of theirs;
- what scripts and styles hold;
- what comments hold; an empty one stays, since text before and after it are two pieces to the parser.

The tokenizer follows the HTML standard, as libxml2 does from 2.14 on. Where the two might differ, or a page is odd in
any way that matters, nothing is left out: then the page is parsed as it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.extraction.literals import Literals

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint64]
Ints = NDArray[np.int64]

# What trafilatura's selections and handlers, readability and justext read, of any element.
TESTED = ("class", "id", "style")
_READ = (
    *("role", "itemprop", "data-component", "data-lp-replacement-content", "aria-hidden"),
    *("type", "colspan", "rowspan", "lang", "rend", "encoding", "alttext", "display"),
)
# Names that trafilatura gives to elements itself, and elements of which it or the parser reads further attributes.
_WHOLE = (
    *("graphic", "ref", "hi", "item", "list", "cell", "row", "lb", "quote", "done"),
    *("html", "meta", "base", "iframe", "math", "annotation"),
)
_OPAQUE = ("script", "style")
_VERBATIM = ("iframe", "noembed", "noframes", "textarea", "title", "xmp")  # their contents are text
_LAST = ("plaintext",)  # and this one's goes on to the end of the page

_LT, _GT, _SLASH, _BANG, _DASH, _EQ, _DQ, _SQ, _QUESTION, _BRACE, _AMPERSAND = (
    np.uint8(ord(char)) for char in "<>/!-=\"'?{&"
)
_SPACE = np.uint8(32)
_MAX_VALUE_BYTES = 1 << 20  # libxml2 ends a page at an attribute of 10 MB
_ODD = ("DiscussionForumPosting", "\ufffe", "\uffff")  # a forum, as a script tells; and what XML forbids
_GIVEN_UP = -1
_FNV_START, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def _code(name: str) -> np.uint64:
    """A name's FNV-1a hash; another name with the same would be kept for nothing."""
    code = 0xCBF29CE484222325
    for byte in name.encode():
        code = (code ^ byte) * 0x100000001B3 % (1 << 64)
    return np.uint64(code)


def _codes(names: tuple[str, ...]) -> Codes:
    return np.array(sorted(map(_code, names)), np.uint64)


_READ_CODES, _TESTED_CODES = _codes((*_READ, *TESTED)), _codes(TESTED)
_UNTESTED_CODES = _codes(_READ)
_KINDS = (_codes(_WHOLE), _codes(_OPAQUE), _codes(_VERBATIM), _codes(_LAST))


@compiled
def _is_space(byte: int) -> bool:
    return byte == 32 or byte == 9 or byte == 10 or byte == 12 or byte == 13


@compiled
def _lower(byte: np.uint8) -> np.uint8:
    return byte | np.uint8(32) if 65 <= byte <= 90 else byte


@compiled
def _holds(codes: Codes, code: np.uint64) -> bool:
    for known in codes:
        if known >= code:
            return bool(known == code)
    return False


@compiled
def _has_control_character(page: Bytes) -> bool:
    found = False
    for byte in page:
        found |= byte < 32 and byte != 9 and byte != 10 and byte != 13
    return bool(found)


@compiled
def _copy(page: Bytes, start: int, end: int, out: Bytes, size: int) -> int:
    """Append a part of the page; returns the new size of `out`."""
    for i in range(end - start):
        out[size + i] = page[start + i]
    return size + end - start


@compiled
def _tag_name(page: Bytes, start: int) -> tuple[np.uint64, int]:
    """The code of the tag name at `start`, and the position after it."""
    code, at = _FNV_START, start
    while at < page.size and page[at] != _GT and page[at] != _SLASH and not _is_space(page[at]):
        code = (code ^ np.uint64(_lower(page[at]))) * _FNV_PRIME
        at += 1
    return code, at


@compiled
def _comment_end(page: Bytes, start: int) -> int:
    """The position after the comment whose `<!--` ends at `start`; _GIVEN_UP where none does, or in an odd way."""
    if start + 1 < page.size and (page[start] == _GT or (page[start] == _DASH and page[start + 1] == _GT)):
        return _GIVEN_UP  # <!--> or <!--->
    for at in range(start, page.size - 2):
        if page[at] == _DASH and page[at + 1] == _DASH:
            if page[at + 2] == _GT:
                return at + 3
            if page[at + 2] == _BANG:
                return _GIVEN_UP
    return _GIVEN_UP


@compiled
def _contents_end(page: Bytes, start: int, code: np.uint64, openings: Ints, k: int) -> int:
    """The position of the `</` that closes the element `code` of raw text; _GIVEN_UP where it is not certain.

    `openings[k:]` are positions of `<`, of which some may lie before `start`.
    """
    has_comment, is_escaped = False, False
    for at in openings[k:]:
        if at < start or at + 3 >= page.size:
            continue
        if page[at + 1] == _SLASH:
            closing, end = _tag_name(page, at + 2)
            if closing == code and end < page.size:
                return _GIVEN_UP if is_escaped else int(at)
        elif page[at + 1] == _BANG and page[at + 2] == _DASH and page[at + 3] == _DASH:
            has_comment = True
        elif has_comment and _tag_name(page, at + 1)[0] == code:
            is_escaped = True  # in a script, <!-- with <script after it keeps </script> from ending it
    return _GIVEN_UP


@compiled
def _may_match(page: Bytes, start: int, end: int, table: NDArray[np.int32], is_end: NDArray[np.bool_]) -> bool:
    """Whether the attribute at `start` holds a literal, in whatever case, or a character that may stand for others."""
    state = np.int32(0)
    for at in range(start, end):
        byte = page[at]
        if byte == _AMPERSAND or byte >= 128:
            return True
        state = table[state, _lower(byte)]
        if is_end[state]:
            return True
    return False


@compiled
def _attribute_end(page: Bytes, start: int) -> tuple[int, np.uint64, bool]:
    """The position after the attribute at `start`, its name's code, and whether its value has no quotes."""
    at, code = start, _FNV_START
    while at < page.size and page[at] != _GT and page[at] != _SLASH and not _is_space(page[at]):
        if page[at] == _EQ and at > start:
            break
        code = (code ^ np.uint64(_lower(page[at]))) * _FNV_PRIME
        at += 1
    name_end = at
    while at < page.size and _is_space(page[at]):
        at += 1
    if at >= page.size or page[at] != _EQ:
        return name_end, code, False
    at += 1
    while at < page.size and _is_space(page[at]):
        at += 1
    value_start = at
    if at < page.size and (page[at] == _DQ or page[at] == _SQ):
        at += 1
        while at < page.size and page[at] != page[value_start]:
            at += 1
        if at >= page.size or at - value_start > _MAX_VALUE_BYTES:
            return _GIVEN_UP, code, False
        return at + 1, code, False
    while at < page.size and page[at] != _GT and not _is_space(page[at]):
        at += 1
    return (at if at - value_start <= _MAX_VALUE_BYTES else _GIVEN_UP), code, True


@compiled
def _slim_tag(
    page: Bytes,
    at: int,
    read: Codes,
    tested: Codes,
    table: NDArray[np.int32],
    is_end: NDArray[np.bool_],
    out: Bytes,
    size: int,
) -> tuple[int, int, bool, bool]:
    """Write the attributes that are read and the end of the tag whose name ends at `at`.

    Returns the position after it, the size of `out`, whether the tag closes itself, and whether all attributes in
    `tested` (if there are any) fail every test.
    """
    after_bare_value, any_tested, any_may_match = False, False, False
    while at < page.size and page[at] != _GT:
        if _is_space(page[at]):
            at += 1
            continue
        if page[at] == _SLASH:
            if at + 1 < page.size and page[at + 1] == _GT:
                if after_bare_value:
                    out[size] = _SPACE
                    size += 1
                out[size], out[size + 1] = _SLASH, _GT
                return at + 2, size + 2, True, any_tested and not any_may_match
            at += 1
            continue
        end, code, is_bare = _attribute_end(page, at)
        if end == _GIVEN_UP:
            return _GIVEN_UP, size, False, False
        if _holds(tested, code):
            any_tested = True
            any_may_match = any_may_match or _may_match(page, at, end, table, is_end)
        if _holds(read, code) or page[at] == _BRACE:
            out[size] = _SPACE
            size = _copy(page, at, end, out, size + 1)
            after_bare_value = is_bare
        at = end
    if at >= page.size:
        return _GIVEN_UP, size, False, False
    out[size] = _GT
    return at + 1, size + 1, False, any_tested and not any_may_match


@compiled
def _plain_end(page: Bytes, start: int) -> int:
    """The position after the next `>`; _GIVEN_UP where there is none."""
    for at in range(start, page.size):
        if page[at] == _GT:
            return at + 1
    return _GIVEN_UP


@compiled
def _plain_tag_end(page: Bytes, at: int) -> int:
    """The position after a tag that ends at its first `>`; _GIVEN_UP where a quote or another tag comes before."""
    while at < page.size and page[at] != _GT:
        if page[at] == _LT or page[at] == _DQ or page[at] == _SQ:
            return _GIVEN_UP
        at += 1
    return at + 1 if at < page.size else _GIVEN_UP


@compiled
def _markup_end(page: Bytes, at: int) -> int:
    """The position after an end tag, a doctype, or what passes for a comment, at `at`; `at` where none is there."""
    following = page[at + 1]
    if following == _SLASH:
        return _plain_tag_end(page, at + 2)
    if following in (_BANG, _QUESTION):
        return _plain_end(page, at)
    return at


@compiled
def _slim(
    page: Bytes,
    openings: Ints,
    read: Codes,
    untested: Codes,
    tested: Codes,
    kinds: tuple[Codes, Codes, Codes, Codes],
    table: NDArray[np.int32],
    is_end: NDArray[np.bool_],
    out: Bytes,
) -> int:
    """Fill `out`; returns its size, or _GIVEN_UP. `openings`: positions of `<`."""
    whole, opaque, verbatim, last = kinds
    seen, copied, size = 0, 0, 0  # page[copied:seen] is still to be written
    for k in range(openings.size):
        at = openings[k]
        if at < seen or at + 4 >= page.size:
            continue
        if page[at + 1] == _BANG and page[at + 2] == _DASH and page[at + 3] == _DASH:
            seen = _comment_end(page, at + 4)
            if seen == _GIVEN_UP:
                return _GIVEN_UP
            size = _copy(page, copied, at + 4, out, size)
            copied = seen - 3
            continue
        if not 97 <= _lower(page[at + 1]) <= 122:
            seen = _markup_end(page, at)
            if seen == _GIVEN_UP:
                return _GIVEN_UP
            continue
        code, name_end = _tag_name(page, at + 1)
        size = _copy(page, copied, name_end, out, size)
        seen, size_after, is_closed, fails = _slim_tag(page, name_end, read, tested, table, is_end, out, size)
        if seen == _GIVEN_UP or _holds(last, code):
            return _GIVEN_UP
        if _holds(whole, code):
            size_after = _copy(page, name_end, seen, out, size)
        elif fails:
            _, size_after, _, _ = _slim_tag(page, name_end, untested, tested, table, is_end, out, size)
        size, copied = size_after, seen
        if _holds(opaque, code) or _holds(verbatim, code):
            seen = _GIVEN_UP if is_closed else _contents_end(page, seen, code, openings, k)
            if seen == _GIVEN_UP:
                return _GIVEN_UP
            if _holds(opaque, code):
                copied = seen
    return _copy(page, copied, page.size, out, size)


class Slimmer:
    """Leaves out of a page what trafilatura never looks at.

    literals: in lower case; a class, id or style is read only where one of the three holds one of them.
    """

    def __init__(self, literals: Iterable[str]) -> None:
        found = Literals(sorted(literals))
        if found.finds_empty:
            raise ValueError("the empty literal is in every value: nothing could be left out")
        self._automaton = (found.table, found.is_end)

    def __call__(self, html: str) -> bytes | None:
        """Return `html` as UTF-8, slimmer; None where the page must be parsed as it is.

        The tree is the same, but for the attributes, scripts, styles and comments left out.
        """
        try:
            raw = html.encode("utf-8")
        except UnicodeEncodeError:  # lone surrogates
            return None
        page = np.frombuffer(raw, np.uint8)
        if any(odd in html for odd in _ODD) or _has_control_character(page):
            return None
        out = np.empty(page.size + page.size // 2 + 16, np.uint8)
        openings = np.flatnonzero(page == _LT)
        size = _slim(page, openings, _READ_CODES, _UNTESTED_CODES, _TESTED_CODES, _KINDS, *self._automaton, out)
        return None if size == _GIVEN_UP else out[:size].tobytes()
