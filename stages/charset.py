"""Character sets: from a payload's bytes to clean text, by mark, by evidence, by declaration, by detection.

The web's declarations are often wrong, so none is believed without a check. In order:

1. a byte-order mark, or the zero bytes of unmarked UTF-16;
2. bytes that are valid UTF-8 with a multi-byte character in it: no legacy text of some length looks like that;
3. the HTTP header's charset, then the `<meta>` tag's, where the bytes decode under it and read as text;
4. detection (uchardet, through faust-cchardet), among the character sets that the web uses, and ISO-8859-15 told from
   ISO-8859-1 by the œ and the € that the latter lacks;
5. mostly valid UTF-8 as UTF-8, anything else as windows-1252, faulty bytes replaced.

Labels are those of the WHATWG encoding standard: "iso-8859-1" and "ascii" mean windows-1252, "gb2312" means gb18030.
A few that browsers never knew are read as well: old pages name them, and were made with them. Sets of DOS and the Mac
are believed where they are declared, and never detected.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal

import cchardet
from resiliparse.parse.encoding import map_encoding_to_html5

How = Literal["bom", "nul_bytes", "valid_utf8", "http", "meta", "detected", "fallback"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(
    rb"""<(?:meta\b[^>]{0,500}?\bcharset|\?xml\b[^>]{0,200}?\bencoding)\s*=\s*["']?\s*([\w:.-]{1,40})""",
    re.IGNORECASE,
)
_META_BYTES = 8192  # the standard says 1024; real pages put scripts first

# Python's codecs of these names are narrower than what the label means on the web.
_WIDER = {"shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs"}
# Not in the standard: code pages of DOS, and the Mac's for Central Europe.
_BEYOND_THE_STANDARD = {
    "cp850": "cp850",
    "ibm850": "cp850",
    "cp852": "cp852",
    "ibm852": "cp852",
    "x-mac-ce": "mac_latin2",
    "x-mac-centraleurroman": "mac_latin2",
}
_MULTI_BYTE = frozenset(
    {"cp932", "gb18030", "cp949", "big5hkscs", "euc_jp", "iso2022_jp", "utf-8", "utf-16-le", "utf-16-be"}
)

# What a detector may say against a declaration: it also knows DOS, Mac and Vietnamese sets, which it finds in any
# Western text with few accents.
_CREDIBLE = frozenset(
    {"cp1250", "iso8859-2", "iso8859-16", "cp1251", "koi8-r", "cp1252", "iso8859-7", "cp1253", "iso8859-9", "cp1254"}
    | {"iso8859-5", "cp1255", "cp1256", "iso8859-11", "cp874", "cp932", "gb18030", "cp949", "big5hkscs", "euc_jp"}
)
# Readings too alike for a detector: it takes one for the other on whole pages.
_ALIKE = (frozenset({"cp1250", "iso8859-2"}), frozenset({"cp1252", "iso8859-15", "cp1254", "iso8859-9"}))
# Bytes 0x80-0x9f are control characters in ISO 8859, letters and quotes in its Windows sibling.
_WINDOWS = {
    "iso8859-2": "cp1250",
    "iso8859-16": "cp1250",
    "iso8859-15": "cp1252",
    "iso8859-7": "cp1253",
    "iso8859-9": "cp1254",
}
# A page in ISO-8859-15 read as ISO-8859-1: "c½ur" for "cœur", "3 ¤" for "3 €". Its other six letters stand where
# ISO-8859-1 has signs that are written beside letters ("it´s"), and tell nothing.
_LATIN_9 = re.compile(rb"(?<=[A-Za-z\xc0-\xff])[\xbc\xbd](?=[A-Za-z\xc0-\xff])|\d ?\xa4")
_C1 = re.compile(rb"[\x80-\x9f]")
_HIGH = re.compile(rb"[\x80-\xff]")

_DETECTOR_BYTES = 1 << 18
_MIN_CONFIDENCE = 0.7  # to overrule a declaration
_MIN_UNOPPOSED = 0.6  # where nothing usable is declared
_MIN_HIGH_BYTES = 8
# A sign between two letters: "wyda³o" for "wydało", "vá¾ný" for "vážný". þ and ð are letters of Icelandic alone.
_SIGN_IN_WORD = re.compile(r"(?<=[^\W\d_])[\u0080-\u009f¡-©«¬®-±²-´¶-¹»-¿þð×÷](?=[^\W\d_])")


@dataclass(frozen=True)
class Decoded:
    """Text without NULs and byte-order marks; the Python codec that gave it; and what the choice rests on."""

    text: str
    charset: str
    how: How


def codec_of(label: str) -> str | None:
    """Return the Python codec that a charset label means on the web, or None where the label is unknown."""
    plain = label.strip().strip("\"'").lower()
    if plain in _BEYOND_THE_STANDARD:
        return _BEYOND_THE_STANDARD[plain]
    name = map_encoding_to_html5(plain, fallback_utf8=False) if label.isascii() else None
    return _WIDER.get(name.replace("-", "_"), name) if name else None


def declared_in_meta(payload: bytes) -> str:
    """Return the label in the first `<meta charset>` or XML declaration; empty where there is none."""
    found = _META.search(payload, 0, _META_BYTES)
    return found[1].decode("ascii", "replace") if found else ""


def _by_bom(payload: bytes) -> str | None:
    return next((codec for bom, codec in _BOMS if payload.startswith(bom)), None)


def _unmarked_utf16(payload: bytes) -> str | None:
    """UTF-16 markup has a zero in every second byte; NULs strewn over an ASCII page are even and odd alike."""
    head = payload[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even + odd < len(head) * 0.2:
        return None
    if odd > 9 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 9 * odd else None


def _strict(payload: bytes, codec: str) -> str | None:
    try:
        return payload.decode(codec)
    except (UnicodeError, LookupError):
        return None


def _valid_utf8(payload: bytes) -> str | None:
    """The text where the bytes are UTF-8, but for a last character that was cut; None elsewhere."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data" and error.start > 0
        return payload[: error.start].decode("utf-8") if cut else None


def _detect(payload: bytes) -> tuple[str | None, float]:
    """The detector's codec, if it is one that the web uses and that decodes the bytes, and its confidence."""
    start = high.start() if (high := _HIGH.search(payload)) else 0
    found = cchardet.detect(payload[max(0, start - 1024) : start + _DETECTOR_BYTES])
    codec = codec_of(found["encoding"] or "")
    if codec in _WINDOWS and _C1.search(payload):
        codec = _WINDOWS[codec]
    if codec not in _CREDIBLE or (codec in _MULTI_BYTE and _strict(payload, codec) is None):
        return None, 0.0
    return codec, found["confidence"] or 0.0


def _misread(text: str) -> bool:
    """Say whether a reading puts signs inside words, or is mostly accented letters (another alphabet, misread)."""
    if sum(1 for _ in zip(range(2), _SIGN_IN_WORD.finditer(text), strict=False)) == 2:
        return True
    words = re.sub(r"<[^>]*>", " ", text[:_DETECTOR_BYTES])
    letters = sum(map(str.isalpha, words))
    return sum(char > "\x7f" for char in words if char.isalpha()) > 0.5 * letters


def _read_as_declared(payload: bytes, codec: str, detected: str | None, confidence: float) -> str | None:
    """The text under a declared codec; None where the bytes contradict it."""
    if codec in _WINDOWS and _C1.search(payload):
        codec = _WINDOWS[codec]
    if codec in _MULTI_BYTE:
        return _strict(payload, codec)
    text = payload.decode(codec, "replace")
    if detected is None or detected == codec or any({codec, detected} <= pair for pair in _ALIKE):
        return text
    weighty = confidence >= _MIN_CONFIDENCE and len(_HIGH.findall(payload, 0, 1 << 16)) >= _MIN_HIGH_BYTES
    return None if weighty and _misread(text) else text


def _mostly_utf8(payload: bytes) -> bool:
    """Say whether faulty bytes are few beside well-formed multi-byte characters."""
    text = payload.decode("utf-8", "replace")
    multi_byte = sum(map(text.count, set(text) - set(map(chr, range(128))) - {"\ufffd"}))
    return text.count("\ufffd") * 4 <= multi_byte


def _read_legacy(payload: bytes, http_charset: str) -> Decoded:
    """Neither marked nor valid UTF-8: declarations first, each held against the detector; then the detector."""
    if _mostly_utf8(payload):
        return Decoded(payload.decode("utf-8", "replace"), "utf-8", "fallback")
    detected, confidence = _detect(payload)
    labels: tuple[tuple[How, str], ...] = (("http", http_charset), ("meta", declared_in_meta(payload)))
    for how, label in labels:
        codec = codec_of(label)
        if codec and (text := _read_as_declared(payload, codec, detected, confidence)) is not None:
            return Decoded(text, codec, how)
    if detected in (None, "cp1252") and _LATIN_9.search(payload) and not _C1.search(payload):
        return Decoded(payload.decode("iso8859-15"), "iso8859-15", "detected")
    if detected and confidence >= _MIN_UNOPPOSED:
        return Decoded(payload.decode(detected, "replace"), detected, "detected")
    return Decoded(payload.decode("cp1252", "replace"), "cp1252", "fallback")


def _read(payload: bytes, http_charset: str) -> Decoded:
    if codec := _by_bom(payload):
        return Decoded(payload.decode(codec, "replace"), codec, "bom")
    if codec := _unmarked_utf16(payload):
        return Decoded(payload.decode(codec, "replace"), codec, "nul_bytes")
    text = _valid_utf8(payload)
    if text is None:
        return _read_legacy(payload, http_charset)
    if b"\x1b" in payload and payload.isascii():  # ISO-2022-JP is ASCII with escapes: only its label tells
        codec = codec_of(http_charset) or codec_of(declared_in_meta(payload))
        if codec == "iso2022_jp" and (japanese := _strict(payload, codec)) is not None:
            return Decoded(japanese, codec, "http" if codec_of(http_charset) else "meta")
    return Decoded(text, "utf-8", "valid_utf8")


def decode(payload: bytes, http_charset: str) -> Decoded:
    """Return the text of `payload`, given the header's charset parameter (empty where there is none).

    Never raises; the text encodes as UTF-8 (Python's decoders give no lone surrogates).
    """
    read = _read(payload, http_charset)
    return Decoded(read.text.replace("\0", "").replace("\ufeff", ""), read.charset, read.how)
