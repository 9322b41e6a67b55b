"""The real harness on small tasks, against figures computed by hand from the trainer's own logits."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from mixtures.strict import read_yaml, unmarked
from mixtures.tokenizer import open_tokenizer
from tests.trainer.runs import read_model
from tests.trainer.tasks import CHOICE, GENERATION, accuracies, first_word, questions, write_task
from trainer import hf, results
from trainer.errors import CheckpointError, EvaluationError
from trainer.evaluate import Settings, evaluate
from trainer.model import Falcon2
from trainer.results import Evaluation
from trainer.suite import load_suite, suite_folder, suite_names

OPEN_LLM = ("hellaswag", "winogrande", "arc_challenge", "truthfulqa_mc2", "mmlu", "gsm8k")
TRAIN, TEST = questions("code", 25), questions("technical", 18)


@pytest.fixture(scope="module", autouse=True)
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the data's library keeps of local files goes where the tests' files go."""
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="module")
def exported(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf.export(uninterrupted, tmp_path_factory.mktemp("export") / "hf")


@pytest.fixture(scope="module")
def ours(uninterrupted: Path) -> Falcon2:
    """The trainer's own model of the same checkpoint."""
    return read_model(uninterrupted)


@pytest.fixture(scope="module")
def tasks(ours: Falcon2, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks named as those of the open-llm-v1 suite."""
    folder, tokenizer = tmp_path_factory.mktemp("tasks"), open_tokenizer(tokens / "tokenizer.json")
    for name in OPEN_LLM[:-1]:
        write_task(folder, name, CHOICE, TRAIN, TEST)
    train = [{"question": doc["question"], "answer": doc["choices"][0]} for doc in TRAIN]
    before = "".join(f"{doc['question']} {doc['answer']}\n\n" for doc in train[:5])
    test = [
        {"question": doc["question"], "answer": first_word(ours, tokenizer, before + doc["question"])} for doc in TEST
    ]
    for doc in test[::3]:
        doc["answer"] += "x"  # wrong by one letter: 12 of 18 are right
    write_task(folder, "gsm8k", GENERATION, train, test)
    return folder


@pytest.fixture(scope="module")
def open_llm(exported: Path, tasks: Path) -> Evaluation:
    """The suite, all six tasks from local files."""
    return evaluate(exported, Settings(suite=load_suite("open-llm-v1"), tasks=tasks, device="cpu", batch_size="4"))


def test_accuracy_is_what_the_trainers_logits_say(open_llm: Evaluation, ours: Falcon2, tokens: Path) -> None:
    """Without examples (TruthfulQA), and with the suite's five (Winogrande, MMLU)."""
    tokenizer = open_tokenizer(tokens / "tokenizer.json")
    rows = {row.task: row for row in open_llm.rows}
    for task in ("truthfulqa_mc2", "winogrande", "mmlu"):
        by_hand, _ = accuracies(ours, tokenizer, TRAIN[: rows[task].few_shot], TEST)
        assert rows[task].value == pytest.approx(by_hand), task
        assert 0 < by_hand < 1


def test_generated_answers_are_those_of_the_trainers_model(open_llm: Evaluation) -> None:
    (row,) = (row for row in open_llm.rows if row.task == "gsm8k")
    assert (row.value, row.metric, row.filter) == (pytest.approx(12 / 18), "exact_match", "strict-match")


def test_the_settings_are_those_of_the_published_table(open_llm: Evaluation) -> None:
    found = {row.label: (row.few_shot, row.metric, row.published) for row in open_llm.rows}
    assert found == {
        "HellaSwag": (10, "acc_norm", 0.8291),
        "Winogrande": (5, "acc", 0.783),
        "ARC challenge": (25, "acc_norm", 0.5973),
        "TruthfulQA": (0, "acc", 0.5256),
        "MMLU": (5, "acc", 0.5837),
        "GSM8K": (5, "exact_match", 0.5383),
    }
    assert {(row.samples, row.local, row.version) for row in open_llm.rows[:5]} == {(18, True, "2")}
    (average,) = open_llm.averages
    assert average.value == pytest.approx(mean(row.value for row in open_llm.rows))
    assert average.published == 0.6428
    assert open_llm.versions["lm-eval"] == "0.4.13"
    assert open_llm.settings == {"device": "cpu", "dtype": "float32", "batch_size": "4", "few_shot_seed": 1234}


def test_one_table_shows_both_and_says_what_is_not_comparable(open_llm: Evaluation) -> None:
    lines = results.table(replace(open_llm, limit=7)).splitlines()
    assert lines[0] == "Open LLM leaderboard, version 1 (lm-eval 0.4.13)"
    assert lines[1].split() == ["task", "shots", "metric", "questions", "this", "model", "±", "stderr", "Falcon2-11B"]
    row = open_llm.rows[0]
    assert lines[2].split() == ["HellaSwag", "10", "acc_norm", "18", f"{row.value:.4f}", f"{row.stderr:.4f}", "0.8291"]
    assert lines[8].split() == ["average", f"{open_llm.averages[0].value:.4f}", "0.6428"]
    assert lines[9].startswith("Falcon2-11B: published, the authors' announcement, huggingface.co/blog/falcon2-11b")
    assert lines[10] == "note: only the first 7 questions of each task were asked"
    assert lines[11].startswith("note: from local task files: HellaSwag, Winogrande,")
    assert len({len(line) for line in lines[2:8]}) == 1  # the columns stand below one another


def test_without_a_suite_every_task_of_the_folder_is_run_as_its_file_says(
    exported: Path, tasks: Path, tmp_path: Path
) -> None:
    for name in ("winogrande", "gsm8k"):
        shutil.copy(tasks / f"{name}.yaml", tmp_path)
    shutil.copytree(tasks / "data", tmp_path / "data")
    found = evaluate(exported, Settings(suite=None, tasks=tmp_path, limit=6))
    shown = [(row.task, row.few_shot, row.metric, row.samples, row.published) for row in found.rows]
    assert shown == [
        ("gsm8k", 0, "exact_match", 6, None),
        ("winogrande", 0, "acc", 6, None),
        ("winogrande", 0, "acc_norm", 6, None),
    ]
    assert (found.suite, found.averages, found.limit) == ("local", [], 6)


def test_results_stay_with_the_model_and_on_its_card(
    open_llm: Evaluation, exported: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    model = tmp_path / "hf"
    shutil.copytree(exported, model)
    card = (model / "README.md").read_text()
    results.keep(replace(open_llm, suite="zero-shot", title="Other"), model, {"step": 22})
    results.keep(open_llm, model, {"step": 22})
    kept = results.read_all(model)
    assert list(kept) == ["open-llm-v1", "zero-shot"]
    assert kept["open-llm-v1"]["evaluated"] == {"step": 22}
    assert kept["open-llm-v1"]["rows"][0]["value"] == open_llm.rows[0].value
    told = (model / "README.md").read_text()
    assert told.count("## Evaluation") == 1
    row = open_llm.rows[0]
    assert f"| HellaSwag | 10 | acc_norm | 18 | {row.value:.4f} | {row.stderr:.4f} | 0.8291 |" in told
    assert told.split("<!--")[0] == card.split("<!--")[0]
    results.keep(open_llm, model, {"step": 22})
    assert (model / "README.md").read_text() == told

    hf.export(uninterrupted, model)  # the same weights again: what was measured still holds
    assert results.read_all(model) == kept
    assert (model / "README.md").read_text() == told
    hf.export(uninterrupted, model, dtype="bfloat16")
    assert results.read_all(model) == {}
    (model / "evaluation.json").write_text("[]")
    with pytest.raises(CheckpointError, match="evaluation.json: cannot be read"):
        results.keep(open_llm, model, {})


def test_a_foreign_models_card_is_left_alone(open_llm: Evaluation, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Theirs\n")
    results.keep(open_llm, tmp_path, {})
    assert (tmp_path / "README.md").read_text() == "# Theirs\n"
    assert json.loads((tmp_path / "evaluation.json").read_text())["suites"]["open-llm-v1"]["limit"] is None


@pytest.mark.parametrize("name", suite_names())
def test_each_number_of_a_suite_says_how_well_it_is_known(name: str) -> None:
    source = read_yaml(suite_folder() / f"{name}.yaml")
    assert unmarked(source) == []
    suite = load_suite(name)
    assert suite.name == name
    percents = {task.task: task.percent for task in suite.tasks}
    for average in suite.averages:
        assert average.percent == pytest.approx(mean(percents[task] for task in average.of), abs=0.03)  # type: ignore[type-var]


def test_the_multilingual_suite_has_four_tasks_in_each_of_six_languages() -> None:
    names = {task.task for task in load_suite("multilingual").tasks}
    wanted = {
        task
        for language in ("de", "es", "fr", "it", "nl", "ro")
        for task in (f"arc_{language}", f"hellaswag_{language}", f"m_mmlu_{language}", f"truthfulqa_{language}_mc2")
    }
    assert names == wanted


def test_the_harness_has_every_task_and_says_which_data_cannot_be_had(
    exported: Path, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import huggingface_hub.constants
    from lm_eval.tasks import TaskManager

    harness = TaskManager()
    every = set(harness.all_tasks)
    for name in suite_names():
        assert {task.task for task in load_suite(name).tasks} <= every
    for module, field in ((huggingface_hub.constants, "HF_HUB_OFFLINE"), (datasets.config, "HF_HUB_OFFLINE")):
        monkeypatch.setattr(module, field, True)
    # Once is enough to read thousands of task files.
    monkeypatch.setattr("lm_eval.tasks.TaskManager", lambda **asked: TaskManager(**asked) if asked else harness)
    shutil.copytree(tasks, tmp_path / "tasks")
    (tmp_path / "tasks" / "mmlu.yaml").unlink()
    suite = load_suite("open-llm-v1")
    with pytest.raises(EvaluationError, match=r"^mmlu: its data cannot be loaded \(.*cais/mmlu.*--tasks$"):
        evaluate(exported, Settings(suite=suite, tasks=tmp_path / "tasks"))


def test_what_cannot_be_evaluated_is_refused_by_name(exported: Path, tasks: Path, tmp_path: Path) -> None:
    suite = load_suite("open-llm-v1")

    def refused(message: str, model: Path = exported, **settings: Any) -> None:
        with pytest.raises(EvaluationError, match=message):
            evaluate(model, Settings(**{"suite": None, "tasks": tasks} | settings))

    refused("nowhere: not a Hugging Face model", model=tmp_path / "nowhere")
    for device in ("abacus", "cuda:99"):
        refused(f"--device {device}: .*; give one that this machine has", device=device)
    refused("nowhere: no such folder", tasks=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    refused("empty: holds no task file", tasks=tmp_path / "empty")
    refused("suite humaneval runs code .* --allow-code-execution", suite=load_suite("humaneval"), tasks=None)
    broken = tmp_path / "broken"
    write_task(broken, "winogrande", CHOICE, TRAIN, TEST)
    (broken / "data" / "winogrande-test.jsonl").unlink()
    refused("broken: task winogrande cannot be loaded .*mend its files", tasks=broken)
    unsafe = tmp_path / "unsafe"
    write_task(unsafe, "program", GENERATION + "unsafe_code: true\n", *[[{"question": "a", "answer": "b"}]] * 2)
    refused("task program runs code", tasks=unsafe)
    allowed = evaluate(exported, Settings(suite=None, tasks=unsafe, code_execution=True))
    assert [(row.task, row.samples) for row in allowed.rows] == [("program", 1)]
    other = tmp_path / "other"
    write_task(other, "winogrande", CHOICE.replace("metric: acc,", "metric: acc_bytes,"), TRAIN, TEST[:2])
    refused(
        r"winogrande: has no metric acc,none \(there are ",
        tasks=other,
        suite=replace(suite, tasks=suite.tasks[1:2], averages=()),
    )
