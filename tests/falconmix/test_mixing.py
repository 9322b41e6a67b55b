"""`falconmix tokenize` and `falconmix mix`, as they are typed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from falconmix.cli import main
from mixtures.tokens import open_tokens
from tests.trainer.corpus import MIXTURE, documents, write_tokens

SPECIAL = "<|endoftext|> and >>QUESTION<< are text"
Falconmix = Callable[..., tuple[int, str, str]]


@pytest.fixture
def falconmix(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Falconmix:
    """Runs a command: exit code, standard output, standard error."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    def ran(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return ran


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def tokenizer(tokens: Path) -> Path:
    return tokens / "tokenizer.json"


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Three JSONL files, one of which holds special strings."""
    paths = [tmp_path / f"{name}.jsonl" for name in ("code", "special", "technical")]
    for path in paths:
        texts = [SPECIAL] if path.stem == "special" else documents(path.stem, 20)
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return paths


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_any_number_of_workers_and_any_interruption_give_the_same_files_once(
    falconmix: Falconmix, inputs: list[Path], tokenizer: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    command = ("tokenize", *inputs, "--tokenizer", tokenizer, "--output")
    code, out, _ = falconmix(*command, one, "--workers", "1")
    assert (code, out.splitlines()[0]) == (0, "3 shard(s), 0 finished earlier")
    ids = open_tokens(one / "special" / "special.tokens").tokens.tolist()
    assert [token for token in ids if token < 12] == [11]

    shutil.copytree(one, two)
    os.truncate(two / "code" / "code.tokens", 900)
    (two / "special" / "special.documents").unlink()
    shutil.rmtree(two / "technical")
    (two / "tokens.json").unlink()
    code, out, _ = falconmix(*command, two, "--workers", "2")
    assert (code, out.splitlines()[0]) == (0, "3 shard(s), 0 finished earlier")
    assert files(two) == files(one)

    before = {path: path.stat().st_mtime_ns for path in one.rglob("*.tokens")}
    code, out, _ = falconmix(*command, one, "--json")
    answer = json.loads(out)
    assert (code, answer["shards"], answer["done_earlier"]) == (0, 3, 3)
    assert list(answer["tokens"]) == ["code", "special", "technical"]
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*.tokens")} == before


def test_a_broken_shard_is_named_and_the_others_are_kept(
    falconmix: Falconmix, inputs: list[Path], tokenizer: Path, tmp_path: Path
) -> None:
    inputs[0].write_text('{"text": 5}\n')
    code, _, error = falconmix("tokenize", *inputs, "--tokenizer", tokenizer, "--output", tmp_path / "tokens")
    assert code == 1
    assert error.count("code.jsonl:1: no text under 'text'") == error.count("code.jsonl") == 1
    assert len(list((tmp_path / "tokens").rglob("*.tokens"))) == 2
    assert not (tmp_path / "tokens" / "tokens.json").exists()


@pytest.mark.parametrize(
    ("paths", "tokenizer_file", "message"),
    [
        (["nowhere.jsonl"], "good", "nowhere.jsonl: no such file or folder; give the output of `falconmix curate`"),
        (["code.txt"], "good", "code.txt: not a kind of file that can be tokenised"),
        (["code.jsonl"], "bad", "bad.json: not a Hugging Face tokenizer"),
        (["code.jsonl"], "missing", "missing.json: no such tokenizer file"),
        (["code.jsonl"], "other", "tokens: holds tokens of another tokenizer; give another --output or delete it"),
        (["out"], "good", "out: this curation run is not finished; run `falconmix curate` again to finish it"),
    ],
)
def test_wrong_usage_gets_one_line(
    falconmix: Falconmix,
    inputs: list[Path],
    tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str],
    tokenizer_file: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text(tokenizer.read_text())
    Path("other.json").write_text(tokenizer.read_text())
    Path("bad.json").write_text('{"model": 3}')
    Path("code.txt").write_text("text")
    Path("out").mkdir()
    Path("out/run.json").write_text("{}")
    if tokenizer_file == "other":
        Path("tokens").mkdir()
        other = json.loads(tokenizer.read_text()) | {"normalizer": {"type": "NFC"}}
        Path("tokens/tokenizer.json").write_text(json.dumps(other))
    code, out, error = falconmix("tokenize", *paths, "--tokenizer", f"{tokenizer_file}.json", "--output", "tokens")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_the_plan_of_the_published_mixture(falconmix: Falconmix) -> None:
    code, out, _ = falconmix("mix", "falcon2-11b", "--plan")
    assert code == 0
    assert "stage-1    2,048  RefinedWeb-English" in out
    rows = json.loads(falconmix("mix", "falcon2-11b", "--plan", "--json")[1])["rows"]
    for stage, budget in zip("1234", (4500, 250, 250, 500), strict=True):
        tokens = sum(row["tokens"] for row in rows if row["stage"] == f"stage-{stage}")
        assert 0 <= tokens - budget * 10**9 < 8192


def test_a_plan_over_token_files_tells_epochs_and_warns(falconmix: Falconmix, tokens: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mixture.yaml"
    recipe.write_text(MIXTURE.replace("max_epochs: 100}\nstages", "max_epochs: 1}\nstages").replace("1_300", "90_000"))
    code, out, _ = falconmix("mix", recipe, "--plan", "--tokens", tokens, "--json")
    plan = json.loads(out)
    assert code == 0
    assert all(row["epochs"] == row["tokens"] / row["available"] for row in plan["rows"])
    assert any(warning.startswith("conversational: ") for warning in plan["warnings"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nix"], "nix: neither a file nor a shipped mixture; shipped are demo, falcon2-11b"),
        (["demo", "--tokens", "nowhere"], "nowhere/tokens.json: no such file; make it with `falconmix tokenize"),
    ],
)
def test_what_cannot_be_planned_gets_one_line(falconmix: Falconmix, arguments: list[str], message: str) -> None:
    code, out, error = falconmix("mix", *arguments, "--plan")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error
