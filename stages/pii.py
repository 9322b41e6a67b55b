"""Personal data: e-mail addresses and public IP addresses are replaced by fixed ones that belong to nobody.

As FineWeb does (arXiv 2406.17557; datatrove's `PIIFormatter`), with these differences:

- one replacement each, where datatrove goes round a list from document to document: the same text gives the same text;
- a dotted run of other than four numbers ("1.2.3.4.5") is no IP address, where datatrove masks a part of it;
- the last part of a mail domain begins with a letter, so that "pip@1.2" and "3@4.50" stay;
- letters of all alphabets, where datatrove knows those of ASCII: "jörg@müller.de" is an address too;
- address literals ("joe@[192.0.2.1]") are not e-mail addresses, nor is the first of "a@b.com@c.com".

Only IPv4, as there. Whether an address is public is Python's `ipaddress.ip_address(…).is_global`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_MAX_CHARS = 256  # of a name and of a domain; what is longer is no address (RFC 5321 allows 64 and 255)
_BACKWARDS_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[^\W_](?:[^\W_]|-)*(?<!-)\.)+[^\W\d_](?:(?:[^\W_]|-)*[^\W_])?(?!@|[^\W_])")
_NOT_WORD = re.compile(r"\W*")

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9])(?<![0-9]\.){_OCTET}(?:\.{_OCTET}){{3}}(?![0-9]|\.[0-9])")
_MAYBE_IPV4 = r"[0-9](?:\.[0-9]{1,3}){2}\.[0-9]"  # RE2


@dataclass(frozen=True, kw_only=True)
class PiiRules:
    """What is masked, and by what. `public_only`: addresses of private and reserved networks stay as they are.

    The defaults are an address at a domain and one in a network that are reserved for examples (RFC 2606, RFC 5737).
    """

    emails: bool = True
    ips: bool = True
    public_only: bool = True
    email_replacement: str = "email@example.com"
    ip_replacement: str = "192.0.2.1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Masked:
    """Texts after masking, and how many addresses of each kind were replaced in each: int64[n_texts]."""

    text: pa.Array
    n_emails: NDArray[np.int64]
    n_ips: NDArray[np.int64]


def mask(text: pa.Array, rules: PiiRules = PiiRules()) -> Masked:
    """Replace addresses in each text of a string array; a null stays null, a text without any comes back unchanged."""
    n_emails = n_ips = np.zeros(len(text), np.int64)
    if rules.emails:
        text, n_emails = _replaced(text, pc.match_substring(text, "@"), lambda one: _mask_emails(one, rules))
    if rules.ips:
        text, n_ips = _replaced(text, pc.match_substring_regex(text, _MAYBE_IPV4), lambda one: _mask_ips(one, rules))
    return Masked(text=text, n_emails=n_emails, n_ips=n_ips)


def _replaced(
    text: pa.Array, suspect: pa.Array, replace: Callable[[str], tuple[str, int]]
) -> tuple[pa.Array, NDArray[np.int64]]:
    """Apply `replace` to the suspect texts; return all texts, and the number of replacements in each."""
    suspect = pc.fill_null(suspect, False)
    counts = np.zeros(len(text), np.int64)
    results = [replace(one) for one in text.filter(suspect).to_pylist()]
    counts[suspect.to_numpy(zero_copy_only=False)] = [n for _, n in results]
    return pc.replace_with_mask(text, suspect, pa.array([new for new, _ in results], text.type)), counts


def _mask_emails(text: str, rules: PiiRules) -> tuple[str, int]:
    """Look around each "@": forwards for a domain, then backwards for the name, both of bounded length."""
    parts, end, n = [], 0, 0
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 1 + _MAX_CHARS)
        start = _local_start(text, end, at) if domain and domain.end() <= at + _MAX_CHARS else at
        if domain and start < at:
            n += text[start : domain.end()] != rules.email_replacement
            parts += [text[end:start], rules.email_replacement]
            end = domain.end()
        at = text.find("@", at + 1)
    return "".join([*parts, text[end:]]), n


def _local_start(text: str, first: int, at: int) -> int:
    """Where the name before the "@" at `at` begins, not before `first`: `at` where there is none. No mark begins it."""
    found = _BACKWARDS_LOCAL.match(text[max(first, at - _MAX_CHARS) : at][::-1])
    if not found or found.end() == _MAX_CHARS:
        return at
    marks = _NOT_WORD.match(text, at - found.end(), at)
    return marks.end() if marks else at


def _mask_ips(text: str, rules: PiiRules) -> tuple[str, int]:
    n = 0

    def replacement(found: re.Match[str]) -> str:
        nonlocal n
        address = found[0]
        if address == rules.ip_replacement or (rules.public_only and not ipaddress.ip_address(address).is_global):
            return address
        n += 1
        return rules.ip_replacement

    return _IPV4.sub(replacement, text), n
