import json
import random
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixtures.fast_bpe.byte_level import byte_flags_of, classes_of, model_of
from mixtures.fast_bpe.byte_pairs import LETTER
from mixtures.fast_bpe.code_points import POINTS, CodePoints
from mixtures.fast_bpe.equality import (
    code_points,
    differing_ids,
    differing_pieces,
    id_texts,
    piece_texts,
    prove,
    settle,
    wrong_table,
)
from mixtures.fast_bpe.tokenizer_layout import Layout, layout_of
from mixtures.fast_bpe.verdict import read_verdict, verdict_path
from mixtures.tokenizer import Tokenizer, open_tokenizer

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LLAMA_3 = {
    "type": "Sequence",
    "pretokenizers": [
        {
            "type": "Split",
            "pattern": {"Regex": r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+|[^\s\p{L}\p{N}]+"},
            "behavior": "Isolated",
            "invert": False,
        },
        BYTE_LEVEL | {"use_regex": False},
    ],
}
TEXTS = [
    "It's 12345 o'clock, ½ past; \tZehn Männer\n\n  mähten 漢字\x00\ufeff",
    "<|endoftext|> >>TITLE<<",
    "",
    " ",
    "e" * 999,
]


@pytest.fixture(scope="module")
def points() -> CodePoints:
    return code_points()


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Any], Tokenizer]:
    def write(content: Any) -> Tokenizer:
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return open_tokenizer(path)

    return write


def test_falcons_tokenizer_is_proven_equal_once(shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text((shared_data / "models" / "falcon_tokenizer.json").read_text(encoding="utf-8"), encoding="utf-8")
    before = open_tokenizer(path)
    assert before.fast is None
    settled = settle(before, path)
    assert settled.fast is not None
    verdict = read_verdict(path, settled.digest)
    assert verdict is not None
    assert (verdict.equal, verdict.reason) == (True, "")
    assert verdict.numeric_bytes == (*range(0x30, 0x3A), 0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE)
    again = open_tokenizer(path)
    assert again.fast is not None
    for ours, theirs in zip(again.encode_batch(TEXTS), before.encode_batch(TEXTS), strict=True):
        assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
    written = verdict_path(path).stat().st_mtime_ns
    assert settle(again, path).fast is not None
    assert verdict_path(path).stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["gpt2", "digits", "three digits"])
def test_layouts_of_a_small_tokenizer(layout: str, bpe: str, opened: Callable[[Any], Tokenizer]) -> None:
    content = json.loads(bpe)
    if layout == "gpt2":
        content["pre_tokenizer"] = BYTE_LEVEL
    else:
        steps = content["pre_tokenizer"]["pretokenizers"]
        del steps[3 if layout == "digits" else 2]
    verdict = prove(opened(content))
    assert (verdict.equal, verdict.reason) == (True, "")


REFUSED = {
    "a normalizer (NFC)": {"normalizer": {"type": "NFC"}},
    "ByteLevel with add_prefix_space": {"pre_tokenizer": BYTE_LEVEL | {"add_prefix_space": True}},
    "ByteLevel without its expression": {"pre_tokenizer": BYTE_LEVEL | {"use_regex": False}},
    "another pre-tokenizer, or one in another place ({'type': 'Split'": {"pre_tokenizer": LLAMA_3},
    "another pre-tokenizer, or one in another place ({'type': 'Digits', 'individual_digits': True})": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [BYTE_LEVEL, {"type": "Digits", "individual_digits": True}],
        }
    },
    "another pre-tokenizer, or one in another place ({'type': 'none'})": {"pre_tokenizer": None},
    "BPE with ignore_merges": {"model": {"ignore_merges": True}},
    "BPE with byte_fallback": {"model": {"byte_fallback": True}},
    "BPE with continuing_subword_prefix": {"model": {"continuing_subword_prefix": "##", "merges": []}},
    "BPE with end_of_word_suffix": {"model": {"end_of_word_suffix": "</w>"}},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_kernels_do_not_do_is_left_to_the_library(
    reason: str, bpe: str, opened: Callable[[Any], Tokenizer], tmp_path: Path
) -> None:
    from tokenizers import Tokenizer as Engine

    content = json.loads(bpe)
    for key, value in REFUSED[reason].items():
        content[key] = content[key] | value if key == "model" else value
    settled = settle(opened(content), tmp_path / "tokenizer.json")
    assert settled.fast is None
    verdict = read_verdict(tmp_path / "tokenizer.json", settled.digest)
    assert verdict is not None
    assert not verdict.equal
    assert verdict.reason.startswith(f"the tokenizer has {reason}")
    library = Engine.from_str(json.dumps(content))
    library.encode_special_tokens = True
    for text, ids in zip(TEXTS, settled.encode_batch(TEXTS), strict=True):
        assert ids.tolist() == library.encode(text, add_special_tokens=False).ids


def test_an_unknown_token_is_refused_only_where_it_can_occur(bpe: str, opened: Callable[[Any], Tokenizer]) -> None:
    content = json.loads(bpe)
    content["model"]["unk_token"] = "!"
    layout_of(content)
    del content["model"]["vocab"]["\u0100"]  # the byte 0
    assert prove(opened(content)).reason == "the tokenizer has an unknown token, and bytes without a token of their own"


def test_other_kinds_of_model_and_added_words_are_refused(bpe: str, opened: Callable[[Any], Tokenizer]) -> None:
    content = json.loads(bpe)
    content["added_tokens"].append(content["added_tokens"][0] | {"id": 400, "content": "clay", "special": False})
    tokenizer = opened(content)
    assert prove(tokenizer).reason == "the tokenizer has an added token that is not special ('clay')"
    assert 400 in tokenizer.encode_batch(["the clay"])[0]
    content = json.loads(bpe)
    content["added_tokens"] = [content["added_tokens"][11] | {"id": 2}]
    content["model"] = {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}
    assert prove(opened(content)).reason == "the tokenizer has a model of another kind (WordLevel)"


def tables(points: CodePoints, **changes: bool) -> tuple[Any, Any]:
    layout = replace(Layout(punctuation=True, digits=True, three_digits=True), **changes)
    return classes_of(layout, points), byte_flags_of(layout, points)


@pytest.mark.parametrize("point", [0x27, 0xE9, 0x2028, 0x4E00, 0x1F600, 0x10FFFF], ids=hex)
def test_a_wrong_class_is_found(point: int, bpe: str, points: CodePoints) -> None:
    classes, flags = tables(points)
    wrong = classes.copy()
    wrong[point] = 0 if classes[point] == LETTER else LETTER
    around = [chr(c) for c in range(max(point - 10, 32), min(point + 10, 0x110000))]
    texts = [text for text in piece_texts(points) if any(char in text for char in around)][:20]
    pre_tokenizer = json.loads(bpe)["pre_tokenizer"]
    assert differing_pieces(pre_tokenizer, classes, flags, texts) == ""
    assert differing_pieces(pre_tokenizer, wrong, flags, texts).startswith("the pieces of ")


def test_a_byte_taken_for_no_numeral_is_found(bpe: str, points: CodePoints) -> None:
    """The trap that one text of 207 falls into: the second byte of ü looks like ¼."""
    for byte in (0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE):
        kept = tuple(other for other in points.numeric_bytes if other != byte)
        classes, flags = tables(replace(points, numeric_bytes=kept))
        texts = islice(piece_texts(points), 3)
        reason = differing_pieces(json.loads(bpe)["pre_tokenizer"], classes, flags, texts)
        assert reason.startswith("the pieces of 'a")


@pytest.mark.parametrize("forgotten", ["punctuation", "digits", "three_digits"])
def test_a_split_forgotten_is_found(forgotten: str, bpe: str, points: CodePoints) -> None:
    classes, flags = tables(points, **{forgotten: False})
    texts = map("".join, product(("a", "1", "11", "½", "!", " "), repeat=3))
    assert differing_pieces(json.loads(bpe)["pre_tokenizer"], classes, flags, texts).startswith("the pieces of ")


def test_wrong_tables_are_found(bpe: str, points: CodePoints) -> None:
    right = json.loads(bpe)
    layout = layout_of(right)
    swapped, cut = json.loads(bpe), json.loads(bpe)
    merges = swapped["model"]["merges"]
    merges[40], merges[90] = merges[90], merges[40]
    swapped_back = model_of(swapped, layout, points)
    merged = model_of(right, layout, points).merged
    cut["model"]["merges"].pop()
    model = model_of(right, layout, points)
    assert wrong_table(right, model) == ""
    assert wrong_table(right, swapped_back._replace(merged=merged)).endswith("has another rank")
    assert wrong_table(right, model_of(cut, layout, points)._replace(merged=merged)).endswith("has another rank")
    assert wrong_table(cut, model._replace(merged=merged[:-1])).endswith("has another rank")
    assert wrong_table(right, swapped_back) == "a merge makes another token"
    for name, reason in (("byte_ids", "a byte has another token"), ("symbols", "a token has another length")):
        table = getattr(model, name).copy()
        table[101] += 1
        assert wrong_table(right, model._replace(**{name: table})) == reason


def test_ids_that_differ_are_found(bpe: str, points: CodePoints, opened: Callable[[Any], Tokenizer]) -> None:
    """With tables of another tokenizer, whatever the tables say of themselves."""
    content = json.loads(bpe)
    tokenizer = opened(content)
    assert differing_ids(tokenizer.engine, model_of(content, layout_of(content), points), ["clay", "the"]) == ""
    merges = content["model"]["merges"]
    merges[0], merges[60] = merges[60], merges[0]
    reason = differing_ids(tokenizer.engine, model_of(content, layout_of(content), points), id_texts(content))
    assert reason.startswith("the ids of ")


def test_a_reason_is_in_the_verdict(
    bpe: str, opened: Callable[[Any], Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something differs, the library serves."""
    tokenizer = opened(json.loads(bpe))
    monkeypatch.setattr("mixtures.fast_bpe.equality._differing_layout", lambda _: "the pieces of 'x' differ")
    assert settle(tokenizer, tmp_path / "tokenizer.json").fast is None
    verdict = read_verdict(tmp_path / "tokenizer.json", tokenizer.digest)
    assert verdict is not None
    assert (verdict.equal, verdict.reason, verdict.ranges) == (False, "the pieces of 'x' differ", ())


def test_a_verdict_that_does_not_hold_is_not_used(
    bpe: str, points: CodePoints, opened: Callable[[Any], Tokenizer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tokenizer = tmp_path / "tokenizer.json", opened(json.loads(bpe))
    proofs = []

    def short_proof(tokenizer: Tokenizer) -> Any:
        proofs.append(tokenizer.digest)
        return replace(refused, reason="", ranges=tuple(points.ranges()), numeric_bytes=points.numeric_bytes)

    content = json.loads(bpe)
    refused = prove(opened(content | {"normalizer": {"type": "NFC"}}))
    refused = replace(refused, tokenizer=tokenizer.digest)
    monkeypatch.setattr("mixtures.fast_bpe.equality.prove", short_proof)
    path.write_text(bpe, encoding="utf-8")
    assert settle(tokenizer, path).fast is not None
    verdict = json.loads(verdict_path(path).read_text())
    for key in ("tokenizer", "library", "engine"):
        verdict_path(path).write_text(json.dumps(verdict | {key: "other"}))
        assert open_tokenizer(path).fast is None
    for damaged in ("", "{}", "[]", json.dumps(verdict)[:-9], json.dumps(verdict | {"ranges": 3})):
        verdict_path(path).write_text(damaged)
        assert open_tokenizer(path).fast is None
    assert len(proofs) == 1
    assert settle(tokenizer, path).fast is not None
    assert len(proofs) == 2
    assert open_tokenizer(path).fast is not None
    verdict_path(path).unlink()
    assert open_tokenizer(path).fast is None


def test_classes_in_short(points: CodePoints) -> None:
    again = CodePoints.of_ranges(points.ranges(), points.numeric_bytes)
    assert np.array_equal(again.classes, points.classes)
    assert len(points.ranges()) < 3000
    assert len(points.classes) == POINTS


def test_classes_are_those_of_the_standard_for_old_characters(points: CodePoints) -> None:
    """Characters that Unicode has had since long; newer ones are the library's own affair."""
    import unicodedata

    kinds = {"L": 1, "N": 2, "Z": 3}
    choice = random.Random(1)
    for point in [*range(0x20, 0x7F), *range(0xA0, 0x180), *choice.choices(range(0x4E00, 0x9FA5), k=50)]:
        category = unicodedata.category(chr(point))
        assert points.classes[point] & 3 == kinds.get(category[0], 0), hex(point)
