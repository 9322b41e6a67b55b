"""The kernels against Hugging Face's library."""

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.fast_bpe.byte_level import ByteLevelBpe, model_of, rows
from mixtures.fast_bpe.equality import code_points
from mixtures.fast_bpe.tokenizer_layout import alphabet, layout_of

SPECIALS = ["<|endoftext|>", ">>TITLE<<", ">>QUESTION<<"]
TRAPS = [
    "½",
    "ü",
    "²",
    "¹³",
    "'s",
    "'ll",
    "'re",
    "'",
    "1",
    "12",
    "123",
    " ",
    "  ",
    "\n",
    "\t",
    "\u00a0",
    "\u2003",
    "\x00",
    "\ufeff",
]
TRAPS += [
    "\ufffe",
    "\U0010ffff",
    "\ue000",
    "\u0378",
    "\u200d",
    "e\u0301",
    "漢",
    "Ⅷ",
    "٣",
    "…",
    "€",
    "_",
    "a",
    "Z",
    "ſ",
    *SPECIALS,
]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
PUNCTUATION = {"type": "Punctuation", "behavior": "Contiguous"}
DIGITS = {"type": "Digits", "individual_digits": False}
THREE = {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": False}
LAYOUTS: dict[str, list[dict[str, Any]]] = {
    "falcon": [PUNCTUATION, BYTE_LEVEL, DIGITS, THREE],
    "gpt2": [BYTE_LEVEL],
    "digits": [BYTE_LEVEL, DIGITS],
    "three": [BYTE_LEVEL, THREE],
    "punctuation": [PUNCTUATION, BYTE_LEVEL],
}

unicode_text = st.text(st.characters(exclude_categories=["Cs"]))
mixed_text = st.lists(st.one_of(st.sampled_from(TRAPS), unicode_text), max_size=12).map("".join)


class Both:
    """One tokenizer.json in both engines."""

    def __init__(self, content: Any) -> None:
        from tokenizers import Tokenizer as Engine

        self.fast = ByteLevelBpe(model=model_of(content, layout_of(content), code_points()))
        self.library = Engine.from_str(json.dumps(content))
        self.library.encode_special_tokens = True

    def ours(self, texts: Sequence[str]) -> list[list[int]]:
        return [row.tolist() for ids, ends in self.fast.encode(texts) for row in rows(ids, ends)]

    def theirs(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self.library.encode_batch_fast(list(texts), add_special_tokens=False)]

    def same(self, texts: Sequence[str]) -> int:
        """Tokens of the texts, the same by both."""
        ours, theirs = self.ours(texts), self.theirs(texts)
        assert len(ours) == len(theirs) == len(texts)
        for text, a, b in zip(texts, ours, theirs, strict=True):
            assert a == b, text
        return sum(map(len, ours))


@pytest.fixture(scope="module")
def falcon(shared_data: Path) -> Both:
    return Both(json.loads((shared_data / "models" / "falcon_tokenizer.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module", params=LAYOUTS)
def trained(request: pytest.FixtureRequest, bpe: str) -> Both:
    content = json.loads(bpe)
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": LAYOUTS[request.param]}
    return Both(content)


def real_texts(shared_data: Path) -> list[str]:
    files = sorted((shared_data / "text").glob("*.jsonl"))
    return [json.loads(line)["text"] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def test_all_real_texts(falcon: Both, shared_data: Path) -> None:
    texts = real_texts(shared_data)
    assert len(texts) == 207
    assert falcon.same(texts) == 1_337_591


def test_real_texts_in_other_layouts(trained: Both, shared_data: Path) -> None:
    assert trained.same([text[:2000] for text in real_texts(shared_data)]) > 100_000


@given(st.lists(st.one_of(unicode_text, mixed_text), max_size=20))
@settings(max_examples=300)
def test_any_text_with_falcons(falcon: Both, texts: list[str]) -> None:
    falcon.same(texts)


@given(st.lists(mixed_text, max_size=20))
@settings(max_examples=50)
def test_any_text_with_other_layouts(trained: Both, texts: list[str]) -> None:
    trained.same(texts)


def made_texts(n: int, seed: int) -> Iterator[str]:
    """Strings of up to 30 parts: characters of all planes, of the first, of Latin script, and traps."""
    choice = random.Random(seed)
    points = [(0, 0xD800), (0xE000, 0x110000), (0x20, 0x17F), (0x2000, 0x2100), (0x20, 0x7F), (0xA0, 0x100)]
    for _ in range(n):
        part = choice.randrange(len(points) + 2)
        size = choice.randrange(30)
        if part < len(points):
            yield "".join(chr(choice.randrange(*points[part])) for _ in range(size))
        else:
            yield "".join(choice.choices(TRAPS, k=size))


@pytest.mark.parametrize("n", [20_000, pytest.param(1_200_000, marks=pytest.mark.slow)])
def test_many_made_strings(n: int, falcon: Both) -> None:
    texts = list(made_texts(n, seed=n))
    assert sum(falcon.same(texts[first : first + 10_000]) for first in range(0, n, 10_000)) > 10 * n


def test_specials_are_text(falcon: Both) -> None:
    texts = ["<|endoftext|>", "a<|endoftext|>b", ">>TITLE<<>>TITLE<<", " >>QUESTION<< "]
    falcon.same(texts)
    assert min(min(ids) for ids in falcon.ours(texts)) > 11


def test_what_is_remembered_does_not_matter(falcon: Both, shared_data: Path) -> None:
    """The same text comes out the same however often it comes, and after whatever else."""
    first = real_texts(shared_data)[::40]
    fresh = [Both.ours(falcon, [text])[0] for text in first]
    falcon.ours(list(made_texts(30_000, seed=5)))
    assert falcon.ours(first) == fresh


def test_threads_share_one_engine(falcon: Both, shared_data: Path) -> None:
    texts = [text[:50_000] for text in real_texts(shared_data)[::25]]
    expected = falcon.theirs(texts)
    with ThreadPoolExecutor(4) as threads:
        for ids in threads.map(falcon.ours, [texts] * 8):
            assert ids == expected


@pytest.mark.parametrize("piece", ["a", "e", "=", "-", " ", "\n", "ab", "漢", "\x00", "'", "ü", "½", "1", "\U0001f600"])
def test_long_pieces(piece: str, falcon: Both) -> None:
    falcon.same([piece * times for times in (31, 32, 33, 64, 65, 66, 1000, 20_000)])


def test_long_pieces_of_letters(falcon: Both) -> None:
    choice = random.Random(3)
    base64 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert falcon.same(["".join(choice.choices(base64, k=k)) for k in (60, 70, 500, 5000, 100_000)]) > 30_000


@pytest.mark.slow
def test_ten_million_letters_in_a_row(falcon: Both) -> None:
    text = "a" * 10_000_000
    (ids,) = falcon.ours([text])
    assert falcon.library.decode(ids) == text
    (shorter,) = falcon.theirs(["a" * 100_000])
    assert ids[:1000] == shorter[:1000]


def test_no_texts_and_empty_ones(falcon: Both) -> None:
    assert falcon.ours([]) == []
    assert falcon.ours(["", "", "a", ""]) == falcon.theirs(["", "", "a", ""])


def wild(choice: random.Random) -> Any:
    """A model that nobody trains: merges out of order, several for one token, pairs twice, bytes without a token."""
    letters = "abc"
    vocab = {letter: i for i, letter in enumerate(letters)}
    merges: list[tuple[str, str]] = []
    for _ in range(choice.randrange(15)):
        left, right = choice.choices(list(vocab), k=2)
        if len(left + right) < 9:
            merges.append((left, right))
            vocab.setdefault(left + right, len(vocab))
    if merges and choice.random() < 0.3:
        merges += choice.choices(merges, k=2)
    choice.shuffle(merges)
    return {
        "version": "1.0",
        "pre_tokenizer": BYTE_LEVEL,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }


def test_merges_of_any_kind_and_order() -> None:
    """The library's heap lets an entry count whose pair has changed, if the new pair makes the same token."""
    choice = random.Random(11)
    unique = 0
    for _ in range(300):
        both = Both(wild(choice))
        unique += both.fast.model.unique
        both.same(["".join(choice.choices("abcx", [9, 9, 9, 1], k=k)) for k in (1, 2, 3, 5, 9, 9, 20, 40, 64, 65, 150)])
    assert 30 < unique < 270


def test_alphabet_is_the_librarys() -> None:
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert sorted(alphabet()) == sorted(byte_level.alphabet())
    for text in ("\x00\x7f aZ", "\x80ÿ½", "漢\U0010ffff"):
        assert byte_level.pre_tokenize_str(text)[0][0] == "".join(alphabet()[byte] for byte in text.encode())


def test_ids_beyond_16_bits(bpe: str) -> None:
    content = json.loads(bpe)
    shift = {token: token_id + 200_000 * (token_id > 300) for token, token_id in content["model"]["vocab"].items()}
    content["model"]["vocab"] = shift
    both = Both(content)
    assert both.same(["The potter wedges the clay before she throws it"]) > 0
    assert np.concatenate([ids for ids, _ in both.fast.encode(["The potter wedges the clay"])]).max() > 200_000
