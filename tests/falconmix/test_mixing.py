"""`falconmix tokenize` and `falconmix mix`, as they are typed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from falconmix.cli import main
from mixtures.errors import TokenFileError
from mixtures.spec import load_mixture
from mixtures.stream import Stream
from mixtures.tokenizer import open_tokenizer
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
    (two / "code" / ".code.tokens.4194304.part").write_bytes(b"of a process that was killed")
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
    assert not Path("nowhere").exists()


def test_a_plan_is_made_where_the_token_files_were(falconmix: Falconmix, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        falconmix("mix", "demo", "--plan", "--tokens", "s3://bucket/t")
    assert "s3://bucket/t is no folder; plan where the token files were made" in capsys.readouterr().err


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mixture.yaml"
    path.write_text(MIXTURE)
    return path


def test_a_plan_is_drawn_in_one_page(falconmix: Falconmix, tokens: Path, recipe: Path, tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    code, out, _ = falconmix("mix", recipe, "--plan", "--tokens", tokens, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert (code, text.count("<svg xmlns")) == (0, 2)
    assert out.splitlines()[0].split()[:3] == ["stage", "context", "component"]
    assert falconmix("mix", recipe, "--plan", "--tokens", tokens, "--html", page)[0] == 0
    assert page.read_text(encoding="utf-8") == text
    code, _, error = falconmix("mix", recipe, "--plan", "--html", tmp_path / "nowhere" / "plan.html")
    assert (code, error.count("\n")) == (2, 1)
    assert "plan.html: cannot be written (No such file or directory); give a file in a folder that exists" in error


def test_a_plan_names_what_is_missing_and_does_not_stop_there(
    falconmix: Falconmix, tokens: Path, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(MIXTURE.replace("tokens: [code]", "tokens: [code, kode]"))
    code, out, _ = falconmix("mix", recipe, "--plan", "--tokens", tokens, "--json")
    plan = json.loads(out)
    assert code == 0
    assert "code: no token folder matches kode; tokenise it or take it out of the recipe" in plan["warnings"]
    assert {row["available"] is None for row in plan["rows"] if row["component"] == "code"} == {True}
    assert {row["available"] is None for row in plan["rows"] if row["component"] != "code"} == {False}


def test_a_plan_makes_what_best_fit_packing_looks_up(
    falconmix: Falconmix, tokens: Path, recipe: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(tokens, tmp_path / "t")
    recipe.write_text(MIXTURE.replace("held_out: 1/8", "held_out: 1/8\npacking: best_fit"))
    with pytest.raises(TokenFileError, match="no such plan for component 'English'; make it with `falconmix mix"):
        Stream.open(load_mixture(recipe), root)
    code, out, error = falconmix("mix", recipe, "--plan", "--tokens", root, "--json")
    assert (code, error.splitlines()[0]) == (0, "mix: English: windows of 16 tokens")
    rows = json.loads(out)["rows"]
    assert all(0 <= row["padding"] < 0.5 and row["windows"] > 0 and row["left_over"] is None for row in rows)
    assert len(Stream.open(load_mixture(recipe), root).sequence(0).tokens) == 17
    assert falconmix("mix", recipe, "--plan", "--tokens", root, "--json")[1:] == (out, "")
    assert not (root / ".lock").exists()


def test_weights_are_estimated_and_can_be_pasted(falconmix: Falconmix, tokens: Path, recipe: Path) -> None:
    members = "shares: {technical: 1, code: 1}"
    text = MIXTURE.replace("stages:", f"groups:\n  - {{name: both, out_of: 2, {members}}}\nstages:", 1)
    recipe.write_text(text)
    weigh = ("mix", recipe, "--estimate-weights", "--tokens", tokens)
    code, out, _ = falconmix(*weigh, "--json")
    (group,) = json.loads(out)["groups"]
    assert (code, group["group"], sum(group["shares"].values())) == (0, "both", 100)
    code, out, _ = falconmix(*weigh, "--temperature", "1", "--out-of", "1000")
    shares = yaml.safe_load(out)["groups"][0]["shares"]["value"]
    there = {row["component"]: row["available"] for row in _rows(falconmix, recipe, tokens)}
    assert sum(shares.values()) == 1000
    assert shares["code"] == round(1000 * there["code"] / (there["code"] + there["technical"]))
    recipe.write_text(text.split("groups:")[0] + out + "stages:" + text.split("stages:")[1])
    assert falconmix("mix", recipe, "--plan")[0] == 0


def test_languages_of_one_component_are_weighed_and_can_be_pasted(
    falconmix: Falconmix, tokens: Path, recipe: Path
) -> None:
    everything = "components: [{name: all, kind: european_web, tokens: ['*'], max_epochs: 9}]\n"
    stages = "stages: [{name: s1, context: 16, tokens: 2000, weights: {all: 1}}]\n"
    head = "name: m\nseed: 1\nheld_out: 0\n"
    recipe.write_text(head + everything + stages)
    weigh = ("mix", recipe, "--estimate-weights", "--tokens", tokens)
    code, out, _ = falconmix(*weigh)
    recipe.write_text(head + stages + out)
    folders = [component.name for component in load_mixture(recipe).components]
    assert code == 0 and len(folders) > 1 and sum(load_mixture(recipe).groups[0].parts().values()) == 1
    recipe.write_text(head + everything + stages)
    assert json.loads(falconmix(*weigh, "--json")[1])["components"] == folders


def _rows(falconmix: Falconmix, recipe: Path, tokens: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(falconmix("mix", recipe, "--plan", "--tokens", tokens, "--json")[1])["rows"]
    return rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--estimate-weights", "give the token files with --tokens TOKENS"),
        (
            "--estimate-weights --tokens t --html p.html",
            "--html says nothing to --estimate-weights; leave one of them out",
        ),
        ("--plan --temperature 2", "--temperature says nothing to --plan; leave one of them out"),
        ("--plan --estimate-weights", "not allowed with argument"),
        ("--estimate-weights --temperature 0", "'0' is not a number above 0; write 2, 3.3 or 10/3"),
        ("--estimate-weights --out-of 1.5", "'1.5' is not a whole number, 1 or more"),
        ("", "one of the arguments --plan --estimate-weights is required"),
    ],
)
def test_options_that_do_not_go_together(falconmix: Falconmix, capsys: Any, arguments: str, message: str) -> None:
    try:
        code, _, error = falconmix("mix", "demo", *arguments.split())
    except SystemExit as left:
        code, error = left.code, capsys.readouterr().err
    assert code == 2
    assert message in error


def test_evaluation_sets_are_kept_out(
    falconmix: Falconmix, inputs: list[Path], tokenizer: Path, tmp_path: Path
) -> None:
    shared = documents("code", 20)[3]
    (tmp_path / "set.jsonl").write_text(json.dumps({"question": shared}) + "\n")
    command = ("tokenize", *inputs, "--tokenizer", tokenizer, "--decontaminate", tmp_path / "set.jsonl")
    code, out, _ = falconmix(*command, "--output", tmp_path / "t", "--workers", "1", "--json")
    assert code == 0
    found = json.loads(out)["decontamination"]
    assert (found["ngram"], found["on_hit"], found["documents"]) == (13, "drop", {"drop": 1})
    assert found["evaluation"] == {"set.jsonl": {"items": 1, "unusable": [], "documents": 1}}
    code, out, _ = falconmix(*command, "--output", tmp_path / "t", "--workers", "1")
    assert code == 0 and "3 shard(s), 3 finished earlier" in out
    assert "decontamination, 13 words: 1 dropped" in out
    code, _, err = falconmix(*command[:-1], tmp_path / "none.jsonl", "--output", tmp_path / "t")
    assert code == 2 and "none.jsonl" in err


@pytest.mark.slow  # the proof takes some twenty seconds
def test_much_text_is_worth_a_proof_and_has_the_same_ids(
    falconmix: Falconmix, inputs: list[Path], tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("tokenize", *inputs, "--tokenizer", tokenizer, "--workers", "1", "--output")
    code, _, err = falconmix(*command, tmp_path / "few")
    assert code == 0 and "fast engine" not in err
    assert not (tmp_path / "few" / "tokenizer.verdict.json").exists()
    monkeypatch.setattr("falconmix.mixing.PROOF_WORTH_BYTES", 1)
    code, _, err = falconmix(*command, tmp_path / "many")
    assert code == 0 and "tokenize: holding the fast engine against the tokenizer, once" in err
    assert open_tokenizer(tmp_path / "many" / "tokenizer.json").fast
    for path in (tmp_path / "few").rglob("*.tokens"):
        assert path.read_bytes() == (tmp_path / "many" / path.relative_to(tmp_path / "few")).read_bytes()
    inputs[0].write_text('{"text": "more"}\n')
    code, _, err = falconmix(*command, tmp_path / "many")
    assert code == 0 and "fast engine" not in err
