"""`tokens.json`: what lies under a token root, and the tokenizer that made it all.

    {"format": 2, "tokenizer": "<digest>", "vocab_size": …, "eod_id": …,
     "folders": {"RefinedWeb-Europe/lang=de": [{"file": "part-00000.tokens", "source": "part-00000.parquet",
                                                "tokens": …, "documents": …, "skipped": …, "job": "<digest>"},
                                               …], …}}

It is written last: only shards that it names are ever read. Folders and shards are in order of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mixtures.errors import TokenFileError, TokenizerError
from mixtures.files import written_whole
from mixtures.tokens import read_header

CATALOGUE: Final = "tokens.json"
TOKENIZER: Final = "tokenizer.json"
FORMAT: Final = 2


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One token file."""

    file: str
    source: str
    """File name of the shard that was tokenised."""
    tokens: int
    documents: int
    skipped: int
    """Tokens that the loss passes over."""
    job: str
    """Digest of all that decided its content."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Content of `tokens.json`."""

    tokenizer: str
    vocab_size: int
    eod_id: int
    folders: dict[str, tuple[Shard, ...]]

    def matching(self, pattern: str) -> list[str]:
        """Folders that match `pattern` segment by segment, sorted."""
        wanted = pattern.split("/")
        return [name for name in sorted(self.folders) if _matches(name.split("/"), wanted)]

    def tokens(self, folder: str) -> int:
        """Tokens in `folder`."""
        return sum(shard.tokens for shard in self.folders[folder])

    def joined(self, other: Catalogue) -> Catalogue:
        """This catalogue with the folders of `other`, which replace those of the same name. Raises TokenizerError."""
        if self.tokenizer != other.tokenizer:
            raise TokenizerError(f"{CATALOGUE} is of another tokenizer; tokenise all folders with the same one")
        return replace(other, folders=self.folders | other.folders)


def read_catalogue(token_root: Path) -> Catalogue:
    """Read `token_root/tokens.json`. Raises TokenFileError."""
    return read_catalogue_file(token_root / CATALOGUE)


def read_catalogue_file(path: Path) -> Catalogue:
    """Read a catalogue by the path of its file. Raises TokenFileError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TokenFileError(
            f"{path}: no such file; make it with `falconmix tokenize … --output {path.parent}`"
        ) from None
    except ValueError as error:
        raise TokenFileError(f"{path}: damaged ({error}); run `falconmix tokenize` again") from error
    try:
        if content["format"] != FORMAT:
            raise TokenFileError(f"{path}: format {content['format']}, this version reads {FORMAT}; tokenise again")
        return _parse(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise TokenFileError(f"{path}: damaged ({error!r}); run `falconmix tokenize` again") from error


def write_catalogue(token_root: Path, catalogue: Catalogue) -> None:
    """Write `token_root/tokens.json`, with one line per shard, the same bytes for the same catalogue."""
    folders = {
        name: [vars(shard) for shard in sorted(shards, key=lambda shard: shard.file)]
        for name, shards in sorted(catalogue.folders.items())
    }
    content = vars(catalogue) | {"format": FORMAT, "folders": folders}
    with written_whole(token_root / CATALOGUE) as file:
        file.write((json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


def survey(token_root: Path, shards: Iterable[tuple[Path, str]]) -> Catalogue:
    """Make a catalogue of finished token files, given with the names of their sources.

    Raises TokenFileError for a missing or damaged file or where there is none, TokenizerError where they differ in
    their tokenizer.
    """
    headers = [(path, source, read_header(path)) for path, source in sorted(shards)]
    if not headers:
        raise TokenFileError(f"{token_root}: no token files; give `falconmix tokenize` at least one shard")
    first_path, _, first = headers[0]
    folders: dict[str, list[Shard]] = {}
    for path, source, header in headers:
        if header.tokenizer != first.tokenizer:
            raise TokenizerError(
                f"{path} and {first_path} were made with different tokenizers; tokenise both with the same one"
            )
        folder = path.parent.relative_to(token_root).as_posix()
        shard = Shard(
            file=path.name,
            source=source,
            tokens=header.tokens,
            documents=header.documents,
            skipped=header.skipped,
            job=header.job,
        )
        folders.setdefault(folder, []).append(shard)
    return Catalogue(
        tokenizer=first.tokenizer,
        vocab_size=first.vocab_size,
        eod_id=first.eod_id,
        folders={folder: tuple(shards) for folder, shards in folders.items()},
    )


def _parse(content: dict[str, Any]) -> Catalogue:
    folders = {name: tuple(Shard(**shard) for shard in shards) for name, shards in content["folders"].items()}
    return Catalogue(
        tokenizer=content["tokenizer"], vocab_size=content["vocab_size"], eod_id=content["eod_id"], folders=folders
    )


def _matches(name: list[str], pattern: list[str]) -> bool:
    """`*` alone stands for anything: names of folders may hold the other signs that a shell would expand."""
    if len(name) != len(pattern):
        return False
    literal = (re.escape(part).replace(r"\*", ".*") for part in pattern)
    return all(re.fullmatch(part, ours, re.DOTALL) for part, ours in zip(literal, name, strict=True))
