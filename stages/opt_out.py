"""What a page says against its use: opt-out signals of HTTP headers and `<meta>` tags, and the rule that heeds them.

Signals, as they are written to the column `opt_out`:

- `noai`, `noimageai`, `noindex` (`none` implies it): directives of `X-Robots-Tag` and of `<meta name="robots">`, for
  all robots or for Common Crawl's (`CCBot`);
- `tdm-reservation`: a header or a meta tag of that name with the value 1 (TDM Reservation Protocol, W3C community
  group report, 2024).

What stands in a site's robots.txt, ai.txt or /.well-known/tdmrep.json is not in a capture of a page, and not seen here.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from stages.verdicts import Verdict, with_verdicts

Signal = Literal["noai", "noimageai", "noindex", "tdm-reservation"]
DIRECTIVES: frozenset[Signal] = frozenset(("noai", "noimageai", "noindex"))
RESERVATION: Signal = "tdm-reservation"

_OUR_ROBOTS = ("ccbot", "*")
_VALUED = re.compile(r"(?:unavailable_after|max-[a-z-]+)\s*:")  # these hold a colon, and name no robot
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


@dataclass(frozen=True, kw_only=True)
class OptOutRules:
    """drop: signals that drop a page; by default they are recorded only."""

    drop: tuple[Signal, ...] = ()


def of_header(fields: Iterable[tuple[str, str]]) -> set[Signal]:
    """The signals in HTTP header fields, given as (name, value)."""
    found: set[Signal] = set()
    for name, value in fields:
        match name.lower():
            case "x-robots-tag":
                found |= _directives(value)
            case "tdm-reservation" if value.strip() == "1":
                found.add(RESERVATION)
    return found


def of_meta_tags(tags: Iterable[str]) -> set[Signal]:
    """The signals in meta tags, given as what stands between `<meta` and `>`."""
    found: set[Signal] = set()
    for tag in tags:
        attributes: dict[str, str] = {}
        for name, *values in _ATTRIBUTE.findall(tag):
            attributes.setdefault(name.lower(), html.unescape("".join(values)))
        content = attributes.get("content", "")
        match attributes.get("name", "").strip().lower():
            case "robots" | "ccbot":
                found |= _directives(content)
            case "tdm-reservation" if content.strip() == "1":
                found.add(RESERVATION)
    return found


def filter_opt_out(batch: pa.RecordBatch, rules: OptOutRules) -> pa.RecordBatch:
    """Return `batch` with the column `opt_out_filter`, judged by its column `opt_out`.

    The rule bears the signal's name; where a page gives several, the first of `rules.drop` that it gives.
    """
    said = batch.column("opt_out").to_pylist()
    heeded = [next((signal for signal in rules.drop if signal in signals), None) for signals in said]
    return with_verdicts(batch, "opt_out_filter", [Verdict(signal) if signal else None for signal in heeded])


def _directives(value: str) -> set[Signal]:
    """Directives for all robots or ours in `value`: a robot's name and a colon say whom what follows is meant for."""
    found: set[Signal] = set()
    ours = True
    for part in value.lower().split(","):
        robot, colon, directive = part.partition(":")
        if colon and not _VALUED.match(part.strip()):
            ours = robot.strip() in _OUR_ROBOTS
        else:
            directive = part
        name = directive.strip()
        if ours:
            found |= {signal for signal in DIRECTIVES if signal == name or (name == "none" and signal == "noindex")}
    return found
