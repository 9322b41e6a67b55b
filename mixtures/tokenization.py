"""Tokenising one shard of documents: an independent job that gives the same bytes whenever it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from mixtures.columns import ColumnWriter, columns_path
from mixtures.decontamination.decontaminate import Decontamination, Decontaminator, open_decontaminator
from mixtures.decontamination.hits import Verdict, hits_path, write_hits
from mixtures.document_index import IndexDraft, UrlKey, documents_path, url_key
from mixtures.documents import REPEATED, Batch, columns_of, read_documents
from mixtures.errors import InputError, TokenizerError
from mixtures.files import ends_digest, written_whole
from mixtures.tokenizer import Ids, Tokenizer, open_tokenizer
from mixtures.tokens import HEADER, VERSION, Header


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What all jobs of a command have in common."""

    text_column: str = "text"
    id_column: str = "id"
    url_key: UrlKey = url_key
    """Key under which a document's URL is found again; a function that every process can import."""
    decontamination: Decontamination | None = None


@dataclass(frozen=True, kw_only=True)
class TokenizeJob:
    """One shard to tokenise; can be sent to another process."""

    source: Path
    output: Path
    """The `.tokens` file to make."""
    tokenizer: Path
    tokenizer_digest: str
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What became of one job."""

    output: Path
    documents: int
    tokens: int
    text_bytes: int


def tokenize_shard(job: TokenizeJob) -> ShardReport:
    """Tokenise one shard; the same job gives the same bytes. Raises InputError, TokenizerError."""
    tokenizer = open_tokenizer(job.tokenizer)
    if tokenizer.digest != job.tokenizer_digest:
        raise TokenizerError(f"{job.tokenizer}: changed since the job was planned; plan again")
    with written_whole(job.output) as file:
        draft = _Draft(job, tokenizer, file)
        index = draft.write_documents()
        header = Header(
            token_bytes=tokenizer.dtype.itemsize,
            tokens=index.n_tokens,
            documents=len(index.ids),
            vocab_size=tokenizer.vocab_size,
            eod_id=tokenizer.eod_id,
            tokenizer=tokenizer.digest,
            job=fingerprint(job),
            skipped=sum(index.skipped),
            urls=len(index.urls),
        )
        file.seek(0)
        file.write(header.pack())
        with written_whole(documents_path(job.output)) as documents:  # first: where `.tokens` stands, all stand
            documents.writelines(index.pack(header))
    return ShardReport(output=job.output, documents=header.documents, tokens=header.tokens, text_bytes=draft.text_bytes)


def fingerprint(job: TokenizeJob) -> str:
    """BLAKE2b-128, as hex digits, of all that decides the job's output."""
    _, source = ends_digest(job.source)
    rules = job.rules
    key = f"{rules.url_key.__module__}.{rules.url_key.__qualname__}"
    parts = [VERSION, job.tokenizer_digest, job.source.name, source, rules.text_column, rules.id_column, key]
    parts += [rules.decontamination.fingerprint()] if rules.decontamination else []
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


class _Draft:
    """A shard while its tokens are being written."""

    def __init__(self, job: TokenizeJob, tokenizer: Tokenizer, file: IO[bytes]) -> None:
        self.text_bytes = 0
        self._job, self._tokenizer, self._file = job, tokenizer, file
        self._eod = np.array([tokenizer.eod_id], tokenizer.dtype).tobytes()
        self._index = IndexDraft()
        self._found: list[Verdict] = []

    def write_documents(self) -> IndexDraft:
        """Write all tokens, behind room for the header, and the columns; returns the index of the documents."""
        job, rules = self._job, self._job.rules
        against = open_decontaminator(rules.decontamination) if rules.decontamination else None
        self._file.seek(HEADER.itemsize)
        with ColumnWriter(columns_path(job.output), columns_of(job.source, text_column=rules.text_column)) as columns:
            for batch in read_documents(job.source, text_column=rules.text_column, id_column=rules.id_column):
                kept, masked = self._held_against(against, batch) if against else (batch, frozenset[int]())
                columns.write(kept.columns)
                self._write(kept, masked)
        if against:
            write_hits(hits_path(job.output), self._found)
        else:
            hits_path(job.output).unlink(missing_ok=True)  # of an earlier run, and no longer true
        return self._index

    def _held_against(self, against: Decontaminator, batch: Batch) -> tuple[Batch, frozenset[int]]:
        """The documents that are kept, and which of them, by number, count for nothing in the loss."""
        verdicts = against.check(batch.ids, batch.texts)
        self._found += [verdict for verdict in verdicts if verdict]
        actions = [verdict.action if verdict else "keep" for verdict in verdicts]
        rows = [row for row, action in enumerate(actions) if action != "drop"]
        return batch.taken(rows), frozenset(i for i, row in enumerate(rows) if actions[row] == "mask")

    def _write(self, batch: Batch, masked: frozenset[int]) -> None:
        encoded = self._tokenizer.encode_batch(batch.texts)
        skipped = _skipped(self._job, batch, self._tokenizer, encoded)
        urls = [self._job.rules.url_key(url) if url else None for url in batch.column("url")]
        for i, tokens in enumerate(encoded):
            n_tokens = len(tokens) + 1
            passed_over = n_tokens if i in masked else skipped[i]
            self._file.write(tokens.tobytes() + self._eod)
            self._index.add(batch.ids[i], n_tokens, skipped=passed_over, url=urls[i])
            self.text_bytes += len(batch.texts[i].encode())


def _skipped(job: TokenizeJob, batch: Batch, tokenizer: Tokenizer, encoded: Sequence[Ids]) -> Sequence[int]:
    """Leading tokens of each document that lie within its repeated prefix."""
    found = []
    for document_id, text, n_bytes, ids in zip(batch.ids, batch.texts, batch.column(REPEATED), encoded, strict=True):
        if n_bytes and not _is_prefix(text.encode(), n_bytes):
            raise InputError(
                f"{job.source}: document {document_id}: {REPEATED} is {n_bytes}, which ends outside its text or inside "
                "a character; give a number of bytes of the text in UTF-8"
            )
        found.append(tokenizer.tokens_within(text, n_bytes, ids) if n_bytes else 0)
    return found


def _is_prefix(text: bytes, n_bytes: int) -> bool:
    return 0 <= n_bytes <= len(text) and (n_bytes == len(text) or text[n_bytes] & 0xC0 != 0x80)
