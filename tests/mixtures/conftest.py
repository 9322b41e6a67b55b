import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixtures.catalogue import survey, write_catalogue
from mixtures.tokenizer import train_bpe
from mixtures.tokens import Header, documents_path, pack_documents, written_whole

EOD = 11
TEXTS = [
    "The potter wedges the clay before she throws it, and the wheel turns slowly at first.",
    "Der Töpfer knetet den Ton, bevor er ihn dreht; die Scheibe läuft zuerst langsam.",
    "On 21 June 1887 about 4500 people came to the market, 312 of them by boat.",
    "def area(width, height):\n    return width * height  # in square metres\n",
    "",
    "Une phrase avec <|endoftext|> au milieu, et >>QUESTION<< aussi : ½ et 34567 !",
]

Tree = dict[str, list[dict[str, list[int]]]]


@pytest.fixture(scope="session")
def bpe() -> str:
    """A small tokenizer.json with Falcon's settings."""
    return train_bpe(TEXTS * 20, 400)


@pytest.fixture
def bpe_file(bpe: str, tmp_path: Path) -> Path:
    path = tmp_path / "bpe.json"
    path.write_text(bpe, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def write_jsonl() -> Callable[..., Path]:
    def write(path: Path, rows: list[dict[str, object]]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def write_tokens() -> Callable[..., Path]:
    """Write one token file from documents given as id → tokens (the end-of-document token is added)."""

    def write(path: Path, documents: dict[str, list[int]], *, tokenizer: str = "ab" * 16) -> Path:
        arrays = [[*tokens, EOD] for tokens in documents.values()]
        starts = np.cumsum([0, *map(len, arrays)]).tolist()
        header = Header(
            token_bytes=2,
            tokens=starts.pop(),
            documents=len(arrays),
            vocab_size=1024,
            eod_id=EOD,
            tokenizer=tokenizer,
            job="00" * 16,
        )
        with written_whole(documents_path(path)) as file:
            file.writelines(pack_documents(header, starts, list(documents)))
        with written_whole(path) as file:
            file.write(header.pack())
            file.write(np.array([token for tokens in arrays for token in tokens], "<u2").tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def write_root(write_tokens: Callable[..., Path]) -> Callable[[Path, Tree], Path]:
    """Write a token root: folder → shards → documents."""

    def write(root: Path, tree: Tree) -> Path:
        files = [
            write_tokens(root / folder / f"part-{i:05}.tokens", documents)
            for folder, shards in tree.items()
            for i, documents in enumerate(shards)
        ]
        write_catalogue(root, survey(root, [(file, f"{file.stem}.parquet") for file in files]))
        return root

    return write
