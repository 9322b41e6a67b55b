import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import render
import tokens
from mixtures.fast_bpe.equality import code_points
from mixtures.fast_bpe.verdict import Verdict
from mixtures.tokenizer import open_tokenizer, train_bpe

TEXTS = ["The potter wedges the clay, ½ of it <|endoftext|>", "über 12345 Töpfe", ""] * 10


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(train_bpe(TEXTS, 320), encoding="utf-8")
    return path


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof itself is tested elsewhere, and is long."""
    points = code_points()
    found = {"reason": "", "ranges": tuple(points.ranges()), "numeric_bytes": points.numeric_bytes}
    monkeypatch.setattr(
        tokens, "prove", lambda tokenizer: Verdict(tokenizer=tokenizer.digest, library="1", engine="2", **found)
    )


@pytest.mark.usefixtures("proven")
def test_differing_ids_are_counted(tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a library that is asked for another text."""
    tokenizer = open_tokenizer(tokenizer_file)
    encoded = tokens.encoded
    monkeypatch.setattr(
        tokens, "encoded", lambda texts, side: encoded([text[side.fast is None :] for text in texts], side)
    )
    figures = tokens.measure(TEXTS, tokenizer, 1)
    assert (figures["same"], figures["differing_texts"]) == (False, 20)
    assert "other ids for **20** of 30 texts" in render.tokens(figures)


def test_texts_of_both_kinds_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS))
    pq.write_table(pa.table({"text": TEXTS, "id": TEXTS}), tmp_path / "a.parquet")
    assert tokens.read_texts(tmp_path / "a.jsonl") == tokens.read_texts(tmp_path / "a.parquet") == TEXTS


@pytest.mark.usefixtures("proven")
def test_the_last_line_has_both_rates_and_says_whether_ids_are_the_same(
    tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    line = ["tokens.py", "--input", str(tmp_path), "--tokenizer", str(tokenizer_file), "--rounds", "1", "--json"]
    monkeypatch.setattr(sys, "argv", line)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")  # as it is set back afterwards
    tokens.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    expected = sum(map(len, open_tokenizer(tokenizer_file).encode_batch(TEXTS)))
    assert (figures["texts"], figures["tokens"], figures["same"], figures["differing_texts"]) == (30, expected, True, 0)
    rates = figures["falconmix_tokens_per_s"], figures["huggingface_tokens_per_s"]
    assert figures["ratio"] == pytest.approx(rates[0] / rates[1])
    assert f"**ratio {figures['ratio']:.1f}** (goal 8)" in render.tokens(figures)
    assert "the same ids for **all** of 30 texts" in render.tokens(figures)


def test_a_tokenizer_that_is_not_proven_is_not_measured(tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = open_tokenizer(tokenizer_file)
    verdict = Verdict(tokenizer=tokenizer.digest, library="1", engine="2", reason="a merge is wrong")
    monkeypatch.setattr(tokens, "prove", lambda _: verdict)
    with pytest.raises(SystemExit, match="does not serve this tokenizer: a merge is wrong"):
        tokens.measure(TEXTS, tokenizer, 1)


def test_lines_end_where_the_file_says_so(tmp_path: Path) -> None:
    """Web texts hold U+2028 and U+0085, which are line ends for `str.splitlines`."""
    path = tmp_path / "d.jsonl"
    texts = ["one\u2028two", "three\u0085four", "five"]
    path.write_text("\n".join(json.dumps({"n": 1, "text": text}, ensure_ascii=False) for text in texts) + "\n\n")
    assert tokens.read_texts(path) == texts


def test_rows_without_a_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"content": "x"}\n')
    pq.write_table(pa.table({"content": ["x"]}), tmp_path / "d.parquet")
    for path in tmp_path.iterdir():
        with pytest.raises(SystemExit, match=f"{path.name}: a row has no text under 'text'"):
            tokens.read_texts(path)
