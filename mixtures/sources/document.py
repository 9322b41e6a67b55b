"""What an importer makes of its source: documents, and a word on everything that became none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One document.

    key: by what the source knows it; with the kind of the source it makes the id. licence: as the source states it.
    language: ISO 639-1, None where the source does not say it. repeated_prefix: UTF-8 bytes at the beginning of `text`
    that an earlier document of the same conversation carried already. records: source records (posts, messages, files)
    that went into it and into no document before.
    """

    key: tuple[str, ...]
    text: str
    source: str
    url: str = ""
    title: str | None = None
    licence: str | None = None
    language: str | None = None
    code_language: str | None = None
    repeated_prefix: int = 0
    records: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """Source records that are in no document, and why; `damaged` where they could not be read at all.

    place: where a damaged record lies, for people.
    """

    reason: str
    place: str = ""
    damaged: bool = False
    records: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """Something that a reader of the counts should know of records that did become documents."""

    what: str
    records: int = 1


Item = Document | Dropped | Noted


def document_id(kind: str, key: tuple[str, ...]) -> str:
    """BLAKE2b-128 of the kind and the source's own key, as 32 hex digits."""
    return hashlib.blake2b(json.dumps([kind, *key]).encode(), digest_size=16).hexdigest()
