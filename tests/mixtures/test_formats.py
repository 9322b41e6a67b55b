"""The reader that docs/formats.md shows reads what is written."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def read(repository: Path) -> Callable[[str], Iterator[tuple[str, Any, int]]]:
    text = (repository / "docs" / "formats.md").read_text(encoding="utf-8")
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "FXTOKENS" in code]
    assert len(code[code.index("def read") :].splitlines()) <= 20
    names: dict[str, Any] = {}
    exec(code, names)
    reader: Callable[[str], Iterator[tuple[str, Any, int]]] = names["read"]
    return reader


def test_the_documented_reader(
    read: Callable[[str], Iterator[tuple[str, Any, int]]], write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    documents = {"ab" * 16: [20, 21, 22], "größe": [], "third": [30] * 5}
    path = write_tokens(
        tmp_path / "part-00000.tokens",
        documents,
        skipped={"third": 2},
        columns={"url": ["http://b/", "", "http://a/"]},
    )
    found = [(name, tokens.tolist(), int(skipped)) for name, tokens, skipped in read(str(path.with_suffix("")))]
    assert found == [(name, [*tokens, 11], 2 if name == "third" else 0) for name, tokens in documents.items()]


def test_it_notices_a_file_cut_short(
    read: Callable[[str], Iterator[tuple[str, Any, int]]], write_tokens: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_tokens(tmp_path / "part-00000.tokens", {"a": [1, 2, 3]})
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(AssertionError, match="cut short"):
        next(read(str(path.with_suffix(""))))
