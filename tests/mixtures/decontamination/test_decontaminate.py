import json
import pickle
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mixtures.decontamination.decontaminate import (
    Decontamination,
    Decontaminator,
    EvaluationFile,
    open_decontaminator,
    plan_decontamination,
)
from mixtures.decontamination.evaluation_sets import Item
from mixtures.decontamination.hits import SCHEMA, Tally, Verdict, hits_path, tally, write_hits
from mixtures.errors import InputError, TokenFileError

QUESTION = "Which of the four ships left the harbour of Lisbon first, before the storm came in from the west?"
SONG = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich"  # 10 words
ROWS: list[dict[str, object]] = [
    {"question": QUESTION, "choices": ["the Ana", "the Rosa"], "answer": "the Rosa"},
    {"question": SONG},
    {"question": "Who was it?", "choices": ["the cook", "his wife", "nobody"]},  # 8 words in all
    {"question": "Too short."},
]


@pytest.fixture
def questions(tmp_path: Path, write_jsonl: Callable[..., Path]) -> Path:
    return write_jsonl(tmp_path / "questions.jsonl", ROWS)


def checked(opened: Decontaminator, *texts: str) -> list[Verdict | None]:
    return opened.check([f"d{i}" for i in range(len(texts))], texts)


def stretches(text: str, verdict: Verdict | None) -> list[tuple[int, str]]:
    """Items found in a text, with the stretches cut out of it by their bytes."""
    assert verdict is not None
    return [(p.item, text.encode()[p.start : p.end].decode()) for p in verdict.passages]


def test_a_question_in_a_document_is_found_with_its_place(questions: Path) -> None:
    opened = open_decontaminator(plan_decontamination([questions]))
    text = f"Trivia für alle – “{QUESTION.upper()}” Nobody knew."
    clean, verdict = checked(opened, "Nothing of the kind.", text)
    assert clean is None and verdict is not None
    assert stretches(text, verdict) == [(1, f"“{QUESTION.upper()}”")]
    assert (verdict.id, verdict.action, verdict.hits, verdict.ngrams) == ("d1", "drop", 7, 24 - 8 + 1)
    (passage,) = verdict.passages
    assert (passage.file, passage.items, passage.hits) == ("questions.jsonl", 1, 7)
    assert passage.ngram == "which of the four ships left the harbour of lisbon first before the"


def test_at_the_beginning_the_end_and_as_the_whole(questions: Path) -> None:
    opened = open_decontaminator(plan_decontamination([questions]))
    words = QUESTION.split()
    texts = [" ".join(words[:13]), f"x {' '.join(words[-13:])}", " ".join(words[:12]), f"{' '.join(words[2:15])} x"]
    assert [verdict and verdict.hits for verdict in checked(opened, *texts)] == [1, 1, None, 1]


def test_short_items_are_looked_for_as_a_whole_and_shorter_ones_listed(questions: Path) -> None:
    opened = open_decontaminator(plan_decontamination([questions]))
    (covered,) = opened.coverage
    assert (covered.file, covered.items, covered.unusable) == ("questions.jsonl", 4, (4,))
    leak = "Who was it? The cook, his wife — nobody!"
    texts = [SONG.lower(), SONG.rsplit(" ", 1)[0], f"A riddle. {leak}", "Too short."]
    verdicts = checked(opened, *texts)
    assert [verdict and [p.item for p in verdict.passages] for verdict in verdicts] == [[2], None, [3], None]
    assert stretches(texts[2], verdicts[2]) == [(3, leak)]


def test_passages_of_different_items_are_apart_and_common_ngrams_say_how_common(tmp_path: Path) -> None:
    a, b = [" ".join(f"{c}{i}" for i in range(14)) for c in "ab"]
    path = tmp_path / "sets.txt"
    path.write_text(f"{a}\n{b} {a}\n")
    opened = open_decontaminator(plan_decontamination([path]))
    text = f"{b} und {a}, {a}"
    (verdict,) = checked(opened, text)
    assert stretches(text, verdict) == [(2, b), (1, f"{a}, {a}")]
    assert verdict is not None and [(p.items, p.hits) for p in verdict.passages] == [(1, 2), (2, 4)]
    assert verdict.hits == 6


def test_places_in_a_text_that_is_not_composed(questions: Path) -> None:
    opened = open_decontaminator(plan_decontamination([questions]))
    song = SONG.replace("ö", "o\u0308").replace("ä", "a\u0308").replace("ü", "u\u0308")
    text = f"De\u0301ja\u0300 vu:\u2001 ≯ — “{song}” \n oui\u0302"
    assert stretches(text, checked(opened, text)[0]) == [(2, f"“{song}”")]


@given(st.lists(st.text(st.sampled_from("abc é\u0301ö."), max_size=60), max_size=6))
@settings(deadline=None, max_examples=100)
def test_a_document_is_judged_alike_in_any_company_and_its_passages_hold_its_hits(texts: list[str]) -> None:
    opened = decontaminator_of("a b c", "é ö a b", n=3)
    together = opened.check([str(i) for i in range(len(texts))], texts)
    assert together == [opened.check([str(i)], [text])[0] for i, text in enumerate(texts)]
    for text, verdict in zip(texts, together, strict=True):
        if verdict is None:
            continue
        assert verdict.hits == sum(passage.hits for passage in verdict.passages) <= verdict.ngrams
        for passage in verdict.passages:
            piece = text.encode()[passage.start : passage.end].decode()
            again = opened.check(["again"], [piece])[0]
            assert piece.strip() == piece and again is not None and again.hits >= passage.hits


def decontaminator_of(*items: str, n: int) -> Decontaminator:
    settings = Decontamination(
        files=(EvaluationFile(path=Path("set.txt"), digest=""),),
        columns=(),
        ngram=n,
        least=n,
        min_hits=1,
        on_hit="drop",
    )
    return Decontaminator(settings, [[Item(number=i, passages=(item,)) for i, item in enumerate(items, 1)]])


def test_fewer_hits_than_asked_for_are_recorded_and_kept(questions: Path) -> None:
    opened = open_decontaminator(plan_decontamination([questions], min_hits=2, on_hit="mask"))
    words = QUESTION.split()
    one, two = checked(opened, " ".join(words[:13]), " ".join(words[:14]))
    assert one is not None and two is not None
    assert [(one.action, one.hits), (two.action, two.hits)] == [("keep", 1), ("mask", 2)]


def test_the_record_and_its_tally(questions: Path, tmp_path: Path) -> None:
    other = tmp_path / "songs.txt"
    other.write_text(SONG + "\nand a song that nobody ever sang to anyone\n")
    opened = open_decontaminator(plan_decontamination([questions, other], on_hit="mask"))
    verdicts = checked(opened, QUESTION, "clean", f"{SONG}. {QUESTION}", SONG)
    path = hits_path(tmp_path / "t" / "part-00000.tokens")
    assert path.name == "part-00000.contaminated.parquet"
    write_hits(path, verdicts)
    rows = parquet.read_table(path).to_pylist()
    assert [(row["id"], row["action"], row["file"], row["item"], row["items"]) for row in rows] == [
        ("d0", "mask", "questions.jsonl", 1, 1),
        ("d2", "mask", "questions.jsonl", 2, 2),
        ("d2", "mask", "questions.jsonl", 1, 1),
        ("d3", "mask", "questions.jsonl", 2, 2),
    ]
    assert [(row["hits"], row["document_hits"], row["document_ngrams"], row["share"]) for row in rows[:2]] == [
        (7, 7, 12, 7 / 12),
        (1, 8, 22, 8 / 22),
    ]
    empty = tmp_path / "none.contaminated.parquet"
    write_hits(empty, [None])
    assert parquet.read_table(empty).schema == SCHEMA and parquet.read_table(empty).num_rows == 0
    assert tally([path, empty]) == Tally(by_action={"mask": 3}, by_file={"questions.jsonl": 3}, items=2)
    assert tally([empty]) == Tally(by_action={}, by_file={}, items=0)
    with pytest.raises(TokenFileError, match=r"gone\.parquet: cannot be read"):
        tally([tmp_path / "gone.parquet"])


def _record(job: tuple[Decontamination, Path, list[str]]) -> bytes:
    settings, path, texts = job
    write_hits(path, open_decontaminator(settings).check(texts, texts))
    return path.read_bytes()


def test_the_same_bytes_in_other_processes(questions: Path, tmp_path: Path) -> None:
    settings = pickle.loads(pickle.dumps(plan_decontamination([questions])))
    shards = [[QUESTION, "x", SONG], ["y"], [f"{SONG} {QUESTION}"]]
    here = [_record((settings, tmp_path / f"here{i}", shard)) for i, shard in enumerate(shards)]
    jobs = [(settings, tmp_path / f"there{i}", shard) for i, shard in enumerate(shards)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_record, jobs)) == here


def test_the_fingerprint_is_of_content_and_rules_not_of_places(questions: Path, tmp_path: Path) -> None:
    base = plan_decontamination([questions])
    (tmp_path / "elsewhere").mkdir()
    moved = questions.rename(tmp_path / "elsewhere" / "questions.jsonl")
    assert plan_decontamination([moved]).fingerprint() == base.fingerprint()
    others = [
        plan_decontamination([moved], ngram=12),
        plan_decontamination([moved], least=9),
        plan_decontamination([moved], min_hits=2),
        plan_decontamination([moved], on_hit="mask"),
        plan_decontamination([moved], columns=["question"]),
        plan_decontamination([moved.rename(moved.with_name("other.jsonl"))]),
    ]
    moved.with_name("other.jsonl").write_text(json.dumps(ROWS[0]))
    others.append(plan_decontamination([moved.with_name("other.jsonl")]))
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 8


def test_what_cannot_be_used_is_refused_in_one_line(questions: Path, tmp_path: Path) -> None:
    settings = plan_decontamination([questions])
    (tmp_path / "short.txt").write_text("one two three\n" * 3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "short.txt").write_text("one")
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps(ROWS[0]) + '\n{"question"\n')
    for refused, message in (
        (lambda: plan_decontamination([]), "no evaluation file to decontaminate against; give at least one"),
        (lambda: plan_decontamination([questions], ngram=5, least=6), "n-grams of 5 words, 6 at least"),
        (lambda: plan_decontamination([questions], min_hits=0), "min_hits: 0 must be at least 1"),
        (
            lambda: plan_decontamination([tmp_path / "short.txt", tmp_path / "b" / "short.txt"]),
            "short.txt: two evaluation files have this name; rename one",
        ),
        (
            lambda: open_decontaminator(plan_decontamination([questions, tmp_path / "short.txt"])),
            "short.txt: none of its 3 items has 8 words; leave the file out, or allow shorter ones",
        ),
        (lambda: open_decontaminator(plan_decontamination([broken])), "broken.jsonl:2: not JSON"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            refused()
    questions.write_text(json.dumps(ROWS[0]))
    with pytest.raises(InputError, match=r"questions\.jsonl: changed since the work was planned; start it again"):
        open_decontaminator(settings)
