import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mixtures.catalogue import survey, write_catalogue
from mixtures.columns import ColumnWriter, columns_path
from mixtures.document_index import IndexDraft, documents_path, url_key
from mixtures.files import written_whole
from mixtures.tokenizer import train_bpe
from mixtures.tokens import Header

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
    """Write one token file from documents given as id → tokens (the end-of-document token is added).

    `columns` has values per document; of those, `url` is indexed. `skipped` has leading tokens per document.
    """

    def write(
        path: Path,
        documents: dict[str, list[int]],
        *,
        tokenizer: str = "ab" * 16,
        skipped: dict[str, int] | None = None,
        columns: dict[str, list[object]] | None = None,
    ) -> Path:
        arrays = [[*tokens, EOD] for tokens in documents.values()]
        table = pa.table({"id": pa.array(list(documents), pa.string())} | (columns or {}))
        index = IndexDraft()
        urls = table["url"].to_pylist() if "url" in table.column_names else [""] * len(arrays)
        for document_id, tokens, url in zip(documents, arrays, urls, strict=True):
            index.add(document_id, len(tokens), skipped=(skipped or {}).get(document_id, 0), url=url_key(url))
        content = json.dumps([path.name, list(documents.items()), skipped, table.to_pydict()], default=str).encode()
        header = Header(
            token_bytes=2,
            tokens=index.n_tokens,
            documents=len(arrays),
            vocab_size=1024,
            eod_id=EOD,
            tokenizer=tokenizer,
            job=hashlib.blake2b(content, digest_size=16).hexdigest(),
            skipped=sum(index.skipped),
            urls=len(index.urls),
        )
        with ColumnWriter(columns_path(path), table.schema) as writer:
            for batch in table.to_batches():
                writer.write(batch)
        with written_whole(documents_path(path)) as file:
            file.writelines(index.pack(header))
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
