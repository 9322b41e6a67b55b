"""The options of `falconmix tokenize` for decontamination, and what is said of it."""

import argparse
from pathlib import Path

import pytest

from falconmix.decontamination import add_options, settings_of, summary, summary_lines
from mixtures.decontamination.decontaminate import open_decontaminator
from mixtures.decontamination.hits import hits_path, write_hits
from mixtures.errors import InputError

ITEM = "the lamplighter counted nine and twenty windows before the snow began to fall"


def options(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "set.txt"
    path.write_text(f"{ITEM}\ntoo short\n")
    return path


def test_without_the_option_there_is_nothing_to_do() -> None:
    assert settings_of(options()) is None


def test_options_become_settings(evaluation: Path) -> None:
    settings = settings_of(options("--decontaminate", evaluation))
    assert settings is not None
    assert (settings.ngram, settings.least, settings.min_hits, settings.on_hit, settings.columns) == (
        13,
        8,
        1,
        "drop",
        (),
    )
    counts = ("--ngram", "10", "--least", "9", "--min-hits", "3")
    columns = ("--evaluation-column", "q", "--evaluation-column", "a")
    settings = settings_of(options("--decontaminate", evaluation, "--on-hit", "mask", *counts, *columns))
    assert settings is not None
    assert (settings.ngram, settings.least, settings.min_hits, settings.on_hit, settings.columns) == (
        10,
        9,
        3,
        "mask",
        ("q", "a"),
    )


def test_a_damaged_set_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text('{"q": "x"}\n{')
    with pytest.raises(InputError, match=r"set\.jsonl:2: not JSON"):
        settings_of(options("--decontaminate", tmp_path / "set.jsonl"))


def test_the_summary_counts_documents_by_action_and_by_file(evaluation: Path, tmp_path: Path) -> None:
    settings = settings_of(options("--decontaminate", evaluation, "--min-hits", "2"))
    assert settings is not None
    shards = [tmp_path / f"part-0000{i}.tokens" for i in range(2)]
    decontaminator = open_decontaminator(settings)
    write_hits(hits_path(shards[0]), decontaminator.check(["a", "b"], [ITEM, "nothing"]))
    write_hits(hits_path(shards[1]), decontaminator.check(["c"], [f"{ITEM}. {ITEM}"]))
    answer = summary(settings, shards)
    assert answer == {
        "ngram": 13,
        "least": 8,
        "min_hits": 2,
        "on_hit": "drop",
        "documents": {"drop": 1, "keep": 1},
        "items": 1,
        "evaluation": {"set.txt": {"items": 2, "unusable": [2], "documents": 2}},
    }
    first, second = summary_lines(answer)
    assert first == "decontamination, 13 words: 1 dropped, 1 kept with fewer than 2 hits"
    assert " ".join(second.split()) == (
        "set.txt 2 items, shared with 2 document(s); 1 of fewer than 8 words not looked for"
    )
    assert summary_lines(answer | {"documents": {}, "evaluation": {}}) == ["decontamination, 13 words: nothing found"]
