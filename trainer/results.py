"""What an evaluation found: kept beside the model, shown as a table, put on its card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mixtures.files import written_whole
from trainer.card import with_evaluation
from trainer.errors import CheckpointError, writing

EVALUATION: Final = "evaluation.json"
_FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one task. Values are the harness's own, published figures are brought to their scale."""

    label: str
    task: str
    few_shot: int
    metric: str
    filter: str
    value: float
    stderr: float | None
    published: float | None
    samples: int
    version: str
    """Version of the task, which changes when its prompt or its data do."""
    local: bool
    """Whether the task was given as a local file."""


@dataclass(frozen=True, kw_only=True)
class AverageRow:
    """A mean over tasks."""

    label: str
    value: float
    published: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that is needed to get the same figures again."""

    suite: str
    title: str
    model: str
    """Whose figures the published ones are."""
    status: str
    source: str
    note: str
    rows: list[Row]
    averages: list[AverageRow]
    limit: int | None
    settings: dict[str, Any]
    versions: dict[str, str]

    def cautions(self) -> list[str]:
        """What keeps the figures from being compared with the published ones."""
        found = [self.note] if self.note else []
        if self.limit is not None:
            found.append(f"only the first {self.limit} questions of each task were asked")
        local = [row.label for row in self.rows if row.local]
        if local and self.suite != "local":
            found.append(f"from local task files: {', '.join(local)}")
        return found


def table(evaluation: Evaluation) -> str:
    """The results for a terminal."""
    rows = [_heads(evaluation), *_cells(evaluation)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [f"{evaluation.title} (lm-eval {evaluation.versions['lm-eval']})"]
    lines += ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join(lines + _remarks(evaluation))


def markdown(evaluation: Evaluation) -> str:
    """The results for a model card."""
    heads = _heads(evaluation)
    rows = [heads, ["---"] * len(heads), *_cells(evaluation)]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    title = f"{evaluation.title}, by lm-eval {evaluation.versions['lm-eval']}:"
    remarks = "".join(f"\n\n{remark}" for remark in _remarks(evaluation))
    return f"{title}\n\n{body}{remarks}"


def read_all(folder: Path) -> dict[str, dict[str, Any]]:
    """The results of every suite beside a model, by suite; none where there is no file. Raises CheckpointError."""
    path = folder / EVALUATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {_FORMAT}")
        suites: dict[str, dict[str, Any]] = content["suites"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); remove it, or give --output") from error
    return suites


def keep(evaluation: Evaluation, folder: Path, facts: dict[str, Any]) -> Path:
    """Write the results beside the model, with those of other suites, and onto its card where that is one of ours.

    `facts` says which model it is. Raises CheckpointError, WriteError.
    """
    suites = read_all(folder) | {evaluation.suite: asdict(evaluation) | {"evaluated": facts}}
    write(folder / EVALUATION, suites)
    onto_card(folder, suites)
    return folder / EVALUATION


def write(path: Path, suites: dict[str, dict[str, Any]]) -> None:
    """Write results by suite to a file. Raises WriteError."""
    content = {"format": _FORMAT, "suites": dict(sorted(suites.items()))}
    with writing(path), written_whole(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def onto_card(folder: Path, suites: dict[str, dict[str, Any]]) -> None:
    """Put results on the model card of a folder, if it has a place for them. Raises WriteError."""
    card = folder / "README.md"
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        told = "\n\n".join(markdown(_parsed(content)) for _, content in sorted(suites.items()))
        changed = with_evaluation(text, f"## Evaluation\n\n{told}" if told else "")
        if changed != text:
            with writing(card), written_whole(card) as file:
                file.write(changed.encode())


def _parsed(content: dict[str, Any]) -> Evaluation:
    known = {key: value for key, value in content.items() if key != "evaluated"}
    rows = [Row(**row) for row in content["rows"]]
    return Evaluation(**known | {"rows": rows, "averages": [AverageRow(**row) for row in content["averages"]]})


def _heads(evaluation: Evaluation) -> list[str]:
    heads = ["task", "shots", "metric", "questions", "this model", "± stderr"]
    return [*heads, evaluation.model] if evaluation.model else heads


def _cells(evaluation: Evaluation) -> list[list[str]]:
    rows = [
        [row.label, str(row.few_shot), _metric(row), f"{row.samples:,}", f"{row.value:.4f}", _figure(row.stderr)]
        + ([_figure(row.published)] if evaluation.model else [])
        for row in evaluation.rows
    ]
    return rows + [
        [row.label, "", "", "", f"{row.value:.4f}", "", _figure(row.published)] for row in evaluation.averages
    ]


def _metric(row: Row) -> str:
    return row.metric if row.filter == "none" else f"{row.metric}, {row.filter}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _remarks(evaluation: Evaluation) -> list[str]:
    sources = [f"{evaluation.model}: {evaluation.status}, {evaluation.source}"] if evaluation.model else []
    return sources + [f"note: {caution}" for caution in evaluation.cautions()]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Text to the left, figures to the right."""
    return [
        cell.ljust(width) if i in (0, 2) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
