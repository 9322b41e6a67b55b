from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixtures.document_index import Part, documents_path, open_documents, url_key
from mixtures.errors import TokenFileError
from mixtures.files import written_whole
from mixtures.tokens import HEADER, open_tokens, read_header

DOCUMENTS = {"0a" * 16: [20, 21, 22], "größe/2": [], "third": [30] * 5}


@pytest.fixture
def path(write_tokens: Callable[..., Path], tmp_path: Path) -> Path:
    urls = ["http://b/", "", "http://a/"]
    return write_tokens(tmp_path / "part-00000.tokens", DOCUMENTS, skipped={"third": 2}, columns={"url": urls})


def test_what_is_written_is_read(path: Path) -> None:
    file = open_tokens(path)
    assert file.tokens.tolist() == [20, 21, 22, 11, 11, 30, 30, 30, 30, 30, 11]
    assert (file.header.vocab_size, file.header.eod_id, file.header.documents) == (1024, 11, 3)
    documents = open_documents(path, file.header)
    assert documents.starts.tolist() == [0, 4, 5]
    assert [documents.id(i) for i in range(3)] == list(DOCUMENTS)
    assert [documents.at(i) for i in (0, 3, 4, 5, 10)] == [0, 0, 1, 2, 2]
    assert [(part.id, part.first, part.end) for part in documents.between(2, 6)] == [
        ("0a" * 16, 2, 4),
        ("größe/2", 4, 5),
        ("third", 5, 6),
    ]
    assert list(documents.between(7, 11)) == [Part(document=2, id="third", first=7, end=11, learned_from=7)]


def test_layout_is_plain_numpy(path: Path) -> None:
    """What the format says, read without this project's code."""
    raw = path.read_bytes()
    assert HEADER.itemsize == 128
    assert raw[:8] == b"FXTOKENS"
    assert np.frombuffer(raw, "<u4", 2, 8).tolist() == [2, 2]
    assert np.frombuffer(raw, "<u8", 2, 16).tolist() == [11, 3]
    assert np.frombuffer(raw, "<u2", offset=128)[:4].tolist() == [20, 21, 22, 11]
    index = documents_path(path).read_bytes()
    assert index[:128] == raw[:128]
    assert np.frombuffer(index, "<u8", 6, 128).tolist() == [0, 4, 5, 32, 41, 46]
    keys = {url_key("http://a/"): 2, url_key("http://b/"): 0}
    assert np.frombuffer(index, "<u8", 2, 176).tolist() == sorted(keys)
    assert np.frombuffer(index, "<u4", 3, 192).tolist() == [0, 0, 2]
    assert np.frombuffer(index, "<u4", 2, 204).tolist() == [keys[key] for key in sorted(keys)]
    assert index[212:] == "".join(DOCUMENTS).encode()


def test_an_empty_shard(write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    path = write_tokens(tmp_path / "e.tokens", {})
    file = open_tokens(path)
    assert (len(file.tokens), len(open_documents(path, file.header))) == (0, 0)


@pytest.mark.parametrize("keep", [0, 7, 100, 127])
def test_a_header_cut_short_is_refused(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TokenFileError, match=r"part-00000\.tokens: (cut short within the header|not a token file); "):
        open_tokens(path)


@pytest.mark.parametrize(("keep", "fault"), [(128, "cut short"), (149, "cut short"), (151, "too long")])
def test_a_length_that_is_off_is_refused(path: Path, keep: int, fault: str) -> None:
    path.write_bytes((path.read_bytes() + b"x")[:keep])
    with pytest.raises(
        TokenFileError, match=rf"part-00000\.tokens: {fault}: {keep} bytes, of 150 .*; tokenise it again"
    ):
        read_header(path)


def test_foreign_and_missing_files_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"none\.tokens: no such token file"):
        open_tokens(tmp_path / "none.tokens")
    content = bytearray(path.read_bytes())
    content[8] = 9
    path.write_bytes(content)
    with pytest.raises(TokenFileError, match="format 9, this version reads 2"):
        open_tokens(path)
    path.write_bytes(b"PAR1" + bytes(500))
    with pytest.raises(TokenFileError, match="not a token file; give files made by"):
        open_tokens(path)


def test_a_damaged_index_is_refused(path: Path, write_tokens: Callable[..., Path], tmp_path: Path) -> None:
    header, index = read_header(path), documents_path(path)
    whole = index.read_bytes()
    for keep in (128, 150, 176, 200, len(whole) - 1):
        index.write_bytes(whole[:keep])
        with pytest.raises(TokenFileError, match=r"part-00000\.documents: cut short or damaged"):
            open_documents(path, header)
    other = write_tokens(tmp_path / "other.tokens", {"x": [1]})
    index.write_bytes(documents_path(other).read_bytes())
    with pytest.raises(TokenFileError, match=r"is not the index of part-00000\.tokens"):
        open_documents(path, header)
    index.unlink()
    with pytest.raises(TokenFileError, match="no such document index"):
        open_documents(path, header)


def test_an_interrupted_write_leaves_what_was_there(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), written_whole(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "part-00000.columns.parquet",
        "part-00000.documents",
        "part-00000.tokens",
    ]
