"""Evaluation by lm-eval-harness: a suite of tasks, or anybody's task files, beside the published figures.

    HF_DIR/evaluation.json     the latest results of each suite, with versions and settings, to be had again

The harness does all that is measured: prompts, few-shot examples, metrics. What is added here are the settings of the
published tables, a refusal before any work where data are missing, and the table.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from trainer.errors import EvaluationError
from trainer.results import AverageRow, Evaluation, Row
from trainer.suite import Suite, SuiteTask

SEED: Final = 1234
"""Of the choice of few-shot examples; the harness's own default."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is evaluated."""

    suite: Suite | None
    """None: all tasks of `tasks`, with their own settings."""
    tasks: Path | None = None
    """Folder of local task files (lm-eval's YAML); they take the place of the harness's of the same name."""
    limit: int | None = None
    """Questions per task; all where None."""
    device: str | None = None
    """GPU where there is one, where None."""
    batch_size: str = "8"
    """A number, or `auto`."""
    code_execution: bool = False
    """Whether code that the model writes may be run on this machine."""


def evaluate(model: Path, settings: Settings, say: Say = lambda _: None) -> Evaluation:
    """Evaluate the Hugging Face folder `model`; `say` is told of each task that is done.

    All data are loaded before the first question is asked. Raises EvaluationError.
    """
    if not (model / "config.json").is_file():
        raise EvaluationError(f"{model}: not a Hugging Face model (config.json is missing); give what export wrote")
    if settings.suite and settings.suite.runs_code and not settings.code_execution:
        raise EvaluationError(
            f"suite {settings.suite.name} runs code that the model wrote, on this machine; allow it with "
            "--allow-code-execution, in a container without anything of value"
        )
    _require_device(settings.device)
    _require_harness()
    loaded = list(_loaded(settings))
    language_model = _language_model(model.resolve(), settings)
    rows: list[Row] = []
    for entry in loaded:
        results = _results(language_model, entry, settings)
        rows += _rows(entry, results)
        say(f"{rows[-1].label}: {rows[-1].metric} {rows[-1].value:.4f}")
    return _evaluation(settings, rows, language_model)


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A task, or group of tasks, with its data."""

    name: str
    wanted: SuiteTask | None
    """None: as its file has it."""
    local: bool
    tasks: Mapping[str, Any]
    """As the harness's own manager gives it: tasks, groups, group_map."""


def _require_device(name: str | None) -> None:
    try:
        torch.empty(0, device=name or "cpu")
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without CUDA
        raise EvaluationError(f"--device {name}: {_first_line(error)}; give one that this machine has") from error


def _require_harness() -> None:
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise EvaluationError(f"the harness is not installed ({error}); pip install 'falconmix[eval]'") from error


def _loaded(settings: Settings) -> Iterator[_Loaded]:
    """Every task with its data, in the suite's order, or in that of their names. Raises EvaluationError."""
    from lm_eval.tasks import TaskManager

    local = _local_tasks(settings.tasks)
    ours = set(local.all_tasks) if local else set()
    if settings.suite is None:
        for name in local.all_subtasks if local else ():
            yield _load(local, name, None, settings, local=True)
        return
    # Reading the harness's thousands of task files takes seconds: only where one is wanted.
    harness = None
    for wanted in settings.suite.tasks:
        if wanted.task not in ours and harness is None:
            harness = TaskManager()
        given = wanted.task in ours
        yield _load(local if given else harness, wanted.task, wanted, settings, local=given)


def _local_tasks(folder: Path | None) -> Any:
    """The harness's manager of the task files in a folder; None where none is given. Raises EvaluationError."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        return None
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: no such folder; give one with task files (YAML) of lm-eval")
    manager = TaskManager(include_path=folder.resolve(), include_defaults=False)
    if not manager.all_subtasks:
        raise EvaluationError(f"{folder}: holds no task file; give a folder with task files (YAML) of lm-eval")
    return manager


def _load(manager: Any, name: str, wanted: SuiteTask | None, settings: Settings, *, local: bool) -> _Loaded:
    """A task with its data. Raises EvaluationError."""
    # Data files of a local task are named from its folder on, wherever the command was called.
    within = chdir(settings.tasks) if local and settings.tasks else nullcontext()
    try:
        with within:
            tasks = manager.load([name])
    except Exception as error:  # whatever the harness and the data's library may raise
        cause = _first_line(error)
        if local:
            raise EvaluationError(
                f"{settings.tasks}: task {name} cannot be loaded ({cause}); mend its files"
            ) from error
        raise EvaluationError(
            f"{name}: its data cannot be loaded ({cause}); connect to the network, or give task files with --tasks"
        ) from error
    loaded = _Loaded(name=name, wanted=wanted, local=local, tasks=tasks)
    _prepare(loaded, settings)
    return loaded


def _first_line(error: BaseException) -> str:
    """Of what lies at the bottom of an error: the data's library says above it that something went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _prepare(loaded: _Loaded, settings: Settings) -> None:
    """Set few-shot examples and their choice. Raises EvaluationError for a task that would run code unasked."""
    for name, task in loaded.tasks["tasks"].items():
        if getattr(task, "UNSAFE_CODE", False) and not settings.code_execution:
            raise EvaluationError(f"task {name} runs code that the model wrote; allow it with --allow-code-execution")
        if loaded.wanted:
            task.set_config(key="num_fewshot", value=loaded.wanted.few_shot)
        elif task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=SEED)


def _language_model(folder: Path, settings: Settings) -> Any:
    from lm_eval.models.huggingface import HFLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    batch = int(settings.batch_size) if settings.batch_size.isdecimal() else settings.batch_size
    device = settings.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return HFLM(pretrained=str(folder), device=device, batch_size=batch, dtype="auto")


def _results(language_model: Any, loaded: _Loaded, settings: Settings) -> Mapping[str, Any]:
    """What the harness says of a task."""
    from lm_eval.evaluator import evaluate as run

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)
    results: Mapping[str, Any] = run(
        lm=language_model,
        task_dict=loaded.tasks,
        limit=settings.limit,
        log_samples=False,
        confirm_run_unsafe_code=settings.code_execution,
    )
    return results


def _rows(loaded: _Loaded, results: Mapping[str, Any]) -> list[Row]:
    """The wanted metric of a task, or all that it has. Raises EvaluationError where it lacks the wanted one."""
    found = results["results"][loaded.name]
    metrics = [key for key, value in found.items() if "," in key and "_stderr," not in key and _is_number(value)]
    if loaded.wanted:
        key = f"{loaded.wanted.metric},{loaded.wanted.filter}"
        if key not in metrics:
            raise EvaluationError(f"task {loaded.name}: has no metric {key} (there are {', '.join(metrics)}); add it")
        metrics = [key]
    return [_row(loaded, results, found, *key.split(",", 1)) for key in metrics]


def _row(loaded: _Loaded, results: Mapping[str, Any], found: Mapping[str, Any], metric: str, way: str) -> Row:
    stderr: Any = found.get(f"{metric}_stderr,{way}")
    percent = loaded.wanted.percent if loaded.wanted else None
    shots = {task.get_config("num_fewshot") for task in loaded.tasks["tasks"].values()}
    return Row(
        label=loaded.wanted.label if loaded.wanted else loaded.name,
        task=loaded.name,
        few_shot=max(shots),
        metric=metric,
        filter=way,
        value=float(found[f"{metric},{way}"]),
        stderr=float(stderr) if _is_number(stderr) else None,
        published=None if percent is None else round(percent / 100, 6),
        samples=sum(count["effective"] for count in results["n-samples"].values()),
        version=str(results["versions"].get(loaded.name, "")),
        local=loaded.local,
    )


def _evaluation(settings: Settings, rows: list[Row], language_model: Any) -> Evaluation:
    suite, values = settings.suite, {row.task: row.value for row in rows}
    averages = [
        AverageRow(
            label=average.label,
            value=sum(values[task] for task in average.of) / len(average.of),
            published=None if average.percent is None else round(average.percent / 100, 6),
        )
        for average in (suite.averages if suite else ())
    ]
    return Evaluation(
        suite=suite.name if suite else "local",
        title=suite.title if suite else "Local tasks",
        model=suite.model if suite else "",
        status=suite.status if suite else "",
        source=suite.source if suite else "",
        note=suite.note if suite else "",
        rows=rows,
        averages=averages,
        limit=settings.limit,
        settings={
            "device": str(language_model.device),
            "dtype": str(language_model.model.dtype).removeprefix("torch."),
            "batch_size": settings.batch_size,
            "few_shot_seed": SEED,
        },
        versions={name: version(name) for name in ("lm-eval", "transformers", "torch", "datasets")},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
