"""Tokenising: from document shards to token files, one independent and repeatable job per shard.

tokenizer = open_tokenizer("tokenizer.json")
install_tokenizer(tokenizer, tokens)
jobs = plan_tokenize([out], tokens, tokenizer)
for job in jobs:                      # in any order, anywhere
    if not is_done(job):
        tokenize_shard(job)
finish(jobs, tokens)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np

from mixtures.catalogue import CATALOGUE, TOKENIZER, Catalogue, read_catalogue, survey, write_catalogue
from mixtures.columns import ColumnWriter, columns_path
from mixtures.document_index import IndexDraft, UrlKey, documents_path, open_documents, url_key
from mixtures.documents import REPEATED, SUFFIXES, Batch, columns_of, read_documents, shard_stem
from mixtures.errors import InputError, TokenFileError, TokenizerError
from mixtures.files import written_whole
from mixtures.tokenizer import Tokenizer, digest, open_tokenizer
from mixtures.tokens import HEADER, VERSION, Header, read_header

_DATASETS: Final = ("RefinedWeb-English", "RefinedWeb-Europe")
"""What `falconmix curate` publishes; the other folders beside them are not for training."""


@dataclass(frozen=True, kw_only=True)
class TokenizeJob:
    """One shard to tokenise; can be sent to another process."""

    source: Path
    output: Path
    """The `.tokens` file to make."""
    tokenizer: Path
    tokenizer_digest: str
    text_column: str = "text"
    id_column: str = "id"
    url_key: UrlKey = url_key
    """Key under which a document's URL is found again; a function that every process can import."""


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What became of one job."""

    output: Path
    documents: int
    tokens: int
    text_bytes: int


def install_tokenizer(tokenizer: Tokenizer, token_root: Path) -> Path:
    """Put the tokenizer beside the token files. Raises TokenizerError where another one is there already."""
    path = token_root / TOKENIZER
    if path.exists() and digest(path.read_text(encoding="utf-8")) != tokenizer.digest:
        raise TokenizerError(f"{token_root}: holds tokens of another tokenizer; give another --output or delete it")
    if not path.exists():
        with written_whole(path) as file:
            file.write(tokenizer.content.encode())
    return path


def plan_tokenize(
    inputs: Iterable[Path], token_root: Path, tokenizer: Tokenizer, url_key: UrlKey = url_key
) -> list[TokenizeJob]:
    """One job per shard, in order of their outputs.

    An input is the output of `falconmix curate` (its published sets keep their folder names), another folder of shards
    (the token folder is called like it, subfolders keep their names) or a file (the token folder is called like the
    file). Raises InputError for a path that is missing, foreign or empty, and where two shards would meet in one file.
    """
    jobs: dict[Path, TokenizeJob] = {}
    for path in inputs:
        for source, folder in _sources(path):
            output = token_root / folder / f"{shard_stem(source)}.tokens"
            if output in jobs:
                raise InputError(f"{source} and {jobs[output].source} would both become {output}; rename one")
            jobs[output] = TokenizeJob(
                source=source,
                output=output,
                tokenizer=token_root / TOKENIZER,
                tokenizer_digest=tokenizer.digest,
                url_key=url_key,
            )
    return [jobs[output] for output in sorted(jobs)]


def is_done(job: TokenizeJob) -> bool:
    """Whether the job's files stand, whole and made from this very input."""
    try:
        header = read_header(job.output)
        open_documents(job.output, header)
    except TokenFileError:
        return False
    return columns_path(job.output).exists() and header.job == _fingerprint(job)


def tokenize_shard(job: TokenizeJob) -> ShardReport:
    """Tokenise one shard; the same job gives the same bytes. Raises InputError, TokenizerError."""
    tokenizer = open_tokenizer(job.tokenizer)
    if tokenizer.digest != job.tokenizer_digest:
        raise TokenizerError(f"{job.tokenizer}: changed since the job was planned; plan again")
    with written_whole(job.output) as file:
        index, text_bytes = _write_tokens(job, tokenizer, file)
        header = Header(
            token_bytes=tokenizer.dtype.itemsize,
            tokens=index.n_tokens,
            documents=len(index.ids),
            vocab_size=tokenizer.vocab_size,
            eod_id=tokenizer.eod_id,
            tokenizer=tokenizer.digest,
            job=_fingerprint(job),
            skipped=sum(index.skipped),
            urls=len(index.urls),
        )
        file.seek(0)
        file.write(header.pack())
        with written_whole(documents_path(job.output)) as documents:  # first: where `.tokens` stands, all stand
            documents.writelines(index.pack(header))
    return ShardReport(output=job.output, documents=header.documents, tokens=header.tokens, text_bytes=text_bytes)


def finish(jobs: Sequence[TokenizeJob], token_root: Path) -> Catalogue:
    """Write `tokens.json` over the finished `jobs`, keeping folders of earlier runs that they do not touch.

    Raises TokenFileError for a job that is not done, TokenizerError where an earlier run used another tokenizer.
    """
    catalogue = survey(token_root, [(job.output, job.source.name) for job in jobs])
    if (token_root / CATALOGUE).exists():
        catalogue = read_catalogue(token_root).joined(catalogue)
    write_catalogue(token_root, catalogue)
    return catalogue


def _sources(path: Path) -> list[tuple[Path, Path]]:
    """Shards under an input path, each with the name of its token folder."""
    if path.is_file():
        return [(path, Path(shard_stem(path)))]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; give the output of `falconmix curate` or document shards")
    datasets = [path / name for name in _DATASETS if (path / name).is_dir()]
    found = [
        (shard, folder.name / shard.parent.relative_to(folder))
        for folder in datasets or [path.resolve()]
        for shard in sorted(folder.rglob("*"))
        if shard.name.endswith(SUFFIXES) and not shard.name.startswith(".")
    ]
    if not found:
        raise InputError(f"{path}: holds no shards ({', '.join(SUFFIXES)}); give a folder that does")
    return found


def _fingerprint(job: TokenizeJob) -> str:
    """BLAKE2b-128 of all that decides the job's output."""
    with job.source.open("rb") as file:
        source = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    key = f"{job.url_key.__module__}.{job.url_key.__qualname__}"
    parts = [VERSION, job.tokenizer_digest, job.source.name, source, job.text_column, job.id_column, key]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _write_tokens(job: TokenizeJob, tokenizer: Tokenizer, file: IO[bytes]) -> tuple[IndexDraft, int]:
    """Write all tokens behind room for the header; returns the documents and the bytes of text read."""
    index, text_bytes = IndexDraft(), 0
    eod = np.array([tokenizer.eod_id], tokenizer.dtype)
    file.seek(HEADER.itemsize)
    schema = columns_of(job.source, text_column=job.text_column)
    with ColumnWriter(columns_path(job.output), schema) as columns:
        for batch in read_documents(job.source, text_column=job.text_column, id_column=job.id_column):
            columns.write(batch.columns)
            encoded = tokenizer.encode_batch(batch.texts)
            skipped = _skipped(job, batch, tokenizer)
            urls = [job.url_key(url) if url else None for url in batch.column("url")]
            for document, tokens in enumerate(encoded):
                file.write(tokens.tobytes() + eod.tobytes())
                index.add(batch.ids[document], len(tokens) + 1, skipped=skipped[document], url=urls[document])
                text_bytes += len(batch.texts[document].encode())
    return index, text_bytes


def _skipped(job: TokenizeJob, batch: Batch, tokenizer: Tokenizer) -> list[int]:
    """Leading tokens of each document that lie within its repeated prefix."""
    found = []
    for document_id, text, n_bytes in zip(batch.ids, batch.texts, batch.column(REPEATED), strict=True):
        if n_bytes and not _is_prefix(text.encode(), n_bytes):
            raise InputError(
                f"{job.source}: document {document_id}: {REPEATED} is {n_bytes}, which ends outside its text or inside "
                "a character; give a number of bytes of the text in UTF-8"
            )
        found.append(tokenizer.tokens_within(text, n_bytes) if n_bytes else 0)
    return found


def _is_prefix(text: bytes, n_bytes: int) -> bool:
    return 0 <= n_bytes <= len(text) and (n_bytes == len(text) or text[n_bytes] & 0xC0 != 0x80)
