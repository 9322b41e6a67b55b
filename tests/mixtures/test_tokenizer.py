import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mixtures.errors import TokenizerError
from mixtures.tokenizer import FALCON_SPECIALS, Tokenizer, digest, open_tokenizer, train_bpe

TEXTS = ["ten men went to mow 12345 times", "Zehn Männer mähten, ½ davon: (gut)!", "a\n\n b"]


@pytest.fixture(scope="module")
def falcon_file(shared_data: Path) -> Path:
    return shared_data / "models" / "falcon_tokenizer.json"


@pytest.fixture(scope="module")
def falcon(falcon_file: Path) -> Tokenizer:
    return open_tokenizer(falcon_file)


def decoded(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    return tokenizer.engine.decode(ids.tolist(), skip_special_tokens=False)


def test_falcon_facts(falcon: Tokenizer) -> None:
    assert (falcon.vocab_size, falcon.eod_id, falcon.dtype) == (65_024, 11, np.dtype("<u2"))


def test_falcon_ids_equal_hugging_faces_on_real_texts(falcon: Tokenizer, falcon_file: Path, shared_data: Path) -> None:
    from tokenizers import Tokenizer as Engine

    plain = Engine.from_file(str(falcon_file))
    files = sorted((shared_data / "text").glob("*.jsonl"))
    assert len(files) == 11
    for path in files:
        with path.open(encoding="utf-8") as lines:
            texts = [json.loads(line)["text"][:20_000] for line, _ in zip(lines, range(2), strict=False)]
        for text, ids in zip(texts, falcon.encode_batch(texts), strict=True):
            assert ids.tolist() == plain.encode(text, add_special_tokens=False).ids
            assert decoded(falcon, ids) == text


@pytest.mark.parametrize("special", FALCON_SPECIALS)
def test_special_strings_are_text(special: str, falcon: Tokenizer, bpe: str, tmp_path: Path) -> None:
    path = tmp_path / "bpe.json"
    path.write_text(bpe, encoding="utf-8")
    for tokenizer in (falcon, open_tokenizer(path)):
        for text in (special, f"before {special} after", special * 3):
            (ids,) = tokenizer.encode_batch([text])
            assert ids.min() > 11
            assert decoded(tokenizer, ids) == text


def test_trained_bpe_has_falcons_layout(bpe: str) -> None:
    content = json.loads(bpe)
    assert [token["content"] for token in content["added_tokens"]] == list(FALCON_SPECIALS)
    assert [content["model"]["vocab"][special] for special in FALCON_SPECIALS] == list(range(12))
    assert len(content["model"]["vocab"]) == 400


def test_trained_bpe_splits_like_falcon(bpe: str, falcon_file: Path) -> None:
    trained, falcon = json.loads(bpe), json.loads(falcon_file.read_text(encoding="utf-8"))
    assert trained["pre_tokenizer"] == falcon["pre_tokenizer"]
    assert trained["normalizer"] == falcon["normalizer"]


def test_trained_bpe_gives_text_back(bpe_file: Path) -> None:
    tokenizer = open_tokenizer(bpe_file)
    texts = [*TEXTS, "", "\x00 \u200b 漢字 🦅 ÿ"]
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert decoded(tokenizer, ids) == text


def test_training_is_the_same_under_any_hash_seed(repository: Path) -> None:
    program = f"from mixtures.tokenizer import train_bpe; print(train_bpe({TEXTS!r} * 3, 300), end='')"
    for seed in ("0", "7"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            cwd=repository,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        )
        assert run.stdout.decode() == train_bpe(TEXTS * 3, 300)


def test_digest_follows_the_ids_and_not_the_layout(bpe: str) -> None:
    content = json.loads(bpe)
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    content["truncation"] = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    assert digest(json.dumps(content, indent=7)) == digest(bpe)
    content["model"]["merges"].pop()
    assert digest(json.dumps(content)) != digest(bpe)


def test_truncation_in_the_file_does_not_cut_documents(bpe: str, tmp_path: Path) -> None:
    content = json.loads(bpe)
    content["truncation"] = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content))
    tokenizer = open_tokenizer(path)
    assert decoded(tokenizer, tokenizer.encode_batch(["word " * 50])[0]) == "word " * 50


def test_bad_files_are_named(bpe: str, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with pytest.raises(TokenizerError, match=r"t\.json: no such tokenizer file; give"):
        open_tokenizer(path)
    for content in ("", "{}", "[1]", '{"model": 3}', bpe[:-200]):
        path.write_text(content)
        with pytest.raises(TokenizerError, match=r"t\.json: not a Hugging Face tokenizer .*; give a tokenizer\.json"):
            open_tokenizer(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TokenizerError, match=r"t\.json: cannot be read"):
        open_tokenizer(path)
    path.write_text(bpe.replace("<|endoftext|>", "<|end|>"))
    with pytest.raises(TokenizerError, match=r"t\.json: has no <\|endoftext\|> token; add it"):
        open_tokenizer(path)


def test_an_end_of_document_token_that_is_not_special_is_refused(bpe: str, tmp_path: Path) -> None:
    """The library encodes such a token wherever its string stands."""
    path, content = tmp_path / "t.json", json.loads(bpe)
    for token in content["added_tokens"]:
        token["special"] = token["content"] != "<|endoftext|>"
    path.write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=r"t\.json: encodes the text '<\|endoftext\|>' as a special token"):
        open_tokenizer(path)


def test_a_model_that_can_forge_its_specials_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "added_tokens": [{"id": 1, "content": "<|endoftext|>"} | special],
        "model": {"type": "WordLevel", "vocab": {"a": 0, "<|endoftext|>": 1}, "unk_token": "a"},
    }
    path.write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=r"t\.json: encodes the text '<\|endoftext\|>' as a special token"):
        open_tokenizer(path)


def test_a_model_that_draws_its_ids_by_chance_is_refused(bpe: str, tmp_path: Path) -> None:
    path, content = tmp_path / "t.json", json.loads(bpe)
    content["model"]["dropout"] = 0.1
    path.write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=r"t\.json: draws its ids by chance \(dropout 0\.1\).*to null"):
        open_tokenizer(path)


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(TokenizerError, match="a vocabulary of 267 is too small; give at least 268"):
        train_bpe(TEXTS, 267)


def within(tokenizer: Tokenizer, text: str, ids: np.ndarray) -> list[int]:
    return [tokenizer.tokens_within(text, n, ids) for n in range(len(text.encode()) + 2)]


def test_tokens_within_the_first_bytes(falcon: Tokenizer) -> None:
    """Each token's bytes one after another, those of characters that Falcon's vocabulary lacks left out."""
    assert falcon.coverage is not None
    assert falcon.coverage.dropped_bytes == (3, 4, 5, 11, 17, 19, 20, 21, 22, 23, 25, 28, 29, 30, 0xF2)
    for text in (*TEXTS, "漢字 🦅 \u0378", "a\x03b \x03\x0bthe\x04n\x1e", "\x1e", "\x00", "\U000a0000", ""):
        (ids,) = falcon.encode_batch([text])
        kept = [i for i, byte in enumerate(text.encode()) if falcon.coverage.has_token[byte]]
        ends, n = [], 0
        for token_id in ids.tolist():
            n += len(falcon.engine.id_to_token(token_id))  # a character for each byte
            ends.append(kept[n - 1] + 1)
        assert n == len(kept)
        assert within(falcon, text, ids) == [sum(end <= k for end in ends) for k in range(len(text.encode()) + 2)]


def test_tokens_within_are_those_of_the_offsets(falcon: Tokenizer) -> None:
    """At the end of each character, the library's own offsets say the same."""
    for text in (*TEXTS, "漢字 🦅 \u0378 über 12345"):
        (ids,) = falcon.encode_batch([text])
        ends = [end for _, end in falcon.engine.encode(text, add_special_tokens=False).offsets]
        split = {end for end, after in pairwise(ends) if end == after}
        for n in range(len(text) + 1):
            if n not in split:  # there a character's last token is told apart from its first only by bytes
                found = falcon.tokens_within(text, len(text[:n].encode()), ids)
                assert found == sum(end <= n for end in ends)


@pytest.mark.parametrize(
    "model",
    [
        {"type": "WordLevel", "vocab": {"the": 0, "öl": 1, "?": 2}, "unk_token": "?"},
        {"type": "WordPiece", "vocab": {"the": 0, "ö": 1, "##l": 3, "?": 2}, "unk_token": "?"}
        | {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    ],
    ids=["words", "word pieces"],
)
def test_tokens_within_of_other_models_go_by_offsets(model: dict[str, object], tmp_path: Path) -> None:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "added_tokens": [{"id": 4, "content": "<|endoftext|>"} | special],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": model,
    }
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content))
    tokenizer = open_tokenizer(path)
    assert tokenizer.coverage is None
    (ids,) = tokenizer.encode_batch(["The  Öl the"])
    if len(ids) == 3:
        assert within(tokenizer, "The  Öl the", ids) == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
    else:
        assert within(tokenizer, "The  Öl the", ids) == [0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4, 4]


def test_a_trained_bpe_drops_nothing(bpe_file: Path) -> None:
    tokenizer = open_tokenizer(bpe_file)
    assert tokenizer.coverage is not None
    assert tokenizer.coverage.dropped_bytes == ()
    for text, ids in zip(TEXTS, tokenizer.encode_batch(TEXTS), strict=True):
        assert tokenizer.coverage.token_bytes[ids].sum() == len(text.encode())


def test_reading_needs_neither_numba_nor_tokenizers_nor_a_verdict(repository: Path) -> None:
    program = (
        "import sys, mixtures.tokenizer; "
        "absent = 'numba', 'tokenizers', 'pyarrow', 'mixtures.fast_bpe.equality'; "
        "print([name for name in absent if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, check=True)
    assert run.stdout.decode().strip() == "[]"
