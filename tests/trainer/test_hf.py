"""The exported folder as transformers sees it, against the trainer's own model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mixtures.catalogue import read_catalogue
from tests.trainer.runs import greedy, read_model, tensors
from trainer import checkpoint, hf
from trainer.errors import CheckpointError, WriteError

PROMPTS = torch.randint(12, 320, (3, 20), generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def exported(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, whose last stage has an untied head."""
    return hf.export(uninterrupted, tmp_path_factory.mktemp("export") / "hf")


@pytest.fixture(scope="module")
def exported_tied(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The end of stage two."""
    return hf.export(uninterrupted / "checkpoints" / "step-00000012", tmp_path_factory.mktemp("export") / "tied")


def both(source: Path, folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM

    return read_model(source), AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("stage", ["untied", "tied"])
def test_logits_and_greedy_tokens_equal_the_trainers(
    uninterrupted: Path, exported: Path, exported_tied: Path, stage: str
) -> None:
    source = uninterrupted if stage == "untied" else uninterrupted / "checkpoints" / "step-00000012"
    ours, theirs = both(source, exported if stage == "untied" else exported_tied)
    assert type(theirs).__name__ == "FalconForCausalLM"
    with torch.no_grad():
        assert (ours(PROMPTS) - theirs(PROMPTS).logits).abs().max().item() <= 1e-4
        generated = theirs.generate(PROMPTS[:1], max_new_tokens=32, do_sample=False, eos_token_id=None, pad_token_id=11)
    assert generated[0, 20:].tolist() == greedy(ours, PROMPTS[:1], 32)[0].tolist()


def test_the_weights_are_the_checkpoints_bit_for_bit(uninterrupted: Path, exported: Path, exported_tied: Path) -> None:
    for folder, path in ((exported, "step-00000022"), (exported_tied, "step-00000012")):
        saved = tensors(uninterrupted / "checkpoints" / path)
        weights = load_file(folder / "model.safetensors")
        assert ("lm_head.weight" in weights) == (folder == exported)
        for name, weight in weights.items():
            assert torch.equal(weight, saved[f"model.{name.removeprefix('transformer.')}"]), name
        assert len(weights) == sum(name.startswith("model.") for name in saved)


def test_the_config_says_what_the_stage_was(exported: Path, exported_tied: Path) -> None:
    config, tied = (json.loads((folder / "config.json").read_text()) for folder in (exported, exported_tied))
    assert (config["tie_word_embeddings"], tied["tie_word_embeddings"]) == (False, True)
    assert (config["rope_theta"], config["rope_parameters"]["rope_theta"]) == (5_000, 5_000)
    assert (tied["rope_theta"], tied["max_position_embeddings"]) == (50_000, 32)
    assert (config["num_ln_in_parallel_attn"], config["new_decoder_architecture"]) == (1, True)
    assert (config["bos_token_id"], config["eos_token_id"]) == (11, 11)


def test_the_tokenizer_comes_with_it(exported: Path, tokens: Path) -> None:
    from transformers import AutoTokenizer

    from mixtures.tokenizer import open_tokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported)
    text = "Abde kil 1234 mano. É ßtraße!"
    (expected,) = open_tokenizer(tokens / "tokenizer.json").encode_batch([text])
    assert tokenizer(text)["input_ids"] == expected.tolist()
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|endoftext|>", 11)


def test_the_usual_snippet_generates(exported: Path) -> None:
    from transformers import pipeline

    generate = pipeline("text-generation", model=str(exported), device="cpu")
    (answer,) = generate("Abde", max_new_tokens=8, do_sample=False)
    assert answer["generated_text"].startswith("Abde")
    assert len(answer["generated_text"]) > len("Abde")


def test_the_card_tells_tokens_and_held_out_losses(exported: Path, uninterrupted: Path) -> None:
    card = (exported / "README.md").read_text()
    state = checkpoint.read_state(checkpoint.found(uninterrupted))
    assert f"{state.tokens:,} tokens in\n22 steps, up to stage `four`." in card
    for component, loss in state.held_out.items():
        assert f"| {component} | {loss:.4f} |" in card


def test_the_card_certifies_what_was_drawn_and_tells_the_recipe(
    exported: Path, exported_tied: Path, tokens: Path
) -> None:
    card, record = (exported_tied / "README.md").read_text(), json.loads((exported_tied / "falconmix.json").read_text())
    assert record["settings"]["stages"][1]["batch"] == [{"from_tokens": 0, "sequences": 12}]
    assert sum(drawn["tokens"] for drawn in record["data"]) == record["tokens"]
    # Two stages: 125 sequences of 16 tokens, 41 of 32; shares of 2 : 1 : 1 in both.
    found = {drawn["component"]: (drawn["sequences"], drawn["tokens"]) for drawn in record["data"]}
    assert found["Europe"] == (31, 496)
    assert found["English"] == (63 + 21, 63 * 16 + 21 * 32)
    assert [drawn["folders"] for drawn in record["data"] if drawn["component"] == "English"] == [
        {"RefinedWeb-English": found["English"][1]}
    ]
    supply = read_catalogue(tokens).tokens("RefinedWeb-English")
    (epochs,) = (drawn["epochs"] for drawn in record["data"] if drawn["component"] == "English")
    assert found["English"][1] / supply < epochs < found["English"][1] / supply * 8 / 6  # an eighth or so is held out
    assert f"| English | {found['English'][0]} | {found['English'][1]:,} | {epochs:.2f} |" in card
    assert "| two | 50,000 | tied | 0.003 to 0.003 | 1e-08 | 12 from 0 |" in card
    assert (
        "| one | 10,000 | tied | 0.01 to 0.003, 300 tokens of warm-up | 1e-08 | 9 from 0, 18 from 500, 36 from 1,200 |"
        in card
    )
    whole = json.loads((exported / "falconmix.json").read_text())
    assert sum(drawn["tokens"] for drawn in whole["data"]) == whole["tokens"] > record["tokens"]


def test_without_token_files_totals_stay_and_without_the_run_nothing_is_claimed(
    uninterrupted: Path, exported: Path, tmp_path: Path
) -> None:
    data = json.loads((exported / "falconmix.json").read_text())["data"]
    shutil.copytree(uninterrupted, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(written | {"tokens": str(tmp_path / "moved")}))
    hf.export(tmp_path / "run", tmp_path / "hf")
    known = json.loads((tmp_path / "hf" / "falconmix.json").read_text())["data"]
    assert known == [drawn | {"available": None, "folders": None, "epochs": None} for drawn in data]
    for lost in (tmp_path / "alone", tmp_path / "strange" / "checkpoints"):  # the second beside another run's record
        shutil.copytree(uninterrupted / "checkpoints" / "step-00000022", lost / "step-00000022")
    other = written["identity"]["mixture"] | {"seed": 6}
    strange = written | {"identity": written["identity"] | {"mixture": other}}
    (tmp_path / "strange" / "run.json").write_text(json.dumps(strange))
    for lost in (tmp_path / "alone", tmp_path / "strange" / "checkpoints"):
        hf.export(lost / "step-00000022", tmp_path / "hf")
        assert json.loads((tmp_path / "hf" / "falconmix.json").read_text())["data"] is None
        assert "what it drew is not known" in (tmp_path / "hf" / "README.md").read_text()


def test_an_export_replaces_an_export_and_nothing_else(uninterrupted: Path, exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "hf"
    shutil.copytree(exported, output)
    (output / "config.json").write_text("{}")
    (output / "model-00001-of-00002.safetensors").write_text("of an earlier, larger one")
    assert json.loads((hf.export(uninterrupted, output) / "config.json").read_text())["vocab_size"] == 320
    assert not list(output.glob("model-*"))
    precious = tmp_path / "thesis"
    precious.mkdir()
    for name in ("chapter.txt", "config.json"):  # the second as in anybody's model
        (precious / name).write_text("long work")
        with pytest.raises(CheckpointError, match="thesis: holds something else"):
            hf.export(uninterrupted, precious)
        assert (precious / name).read_text() == "long work"
    with pytest.raises(CheckpointError, match="something else"):
        hf.export(uninterrupted, precious / "chapter.txt")


def test_it_may_be_written_to_the_folder_one_is_in(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hf").mkdir()
    monkeypatch.chdir(tmp_path / "hf")
    hf.export(uninterrupted, Path())
    assert (tmp_path / "hf" / "model.safetensors").stat().st_mode & 0o777 == 0o644
    assert json.loads((tmp_path / "hf" / "falconmix.json").read_text())["checkpoint"] == "step-00000022"


def test_a_folder_that_cannot_be_written_leaves_the_earlier_export(
    uninterrupted: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def full_disk(*_: Any) -> None:
        raise SafetensorError("No space left on device")

    output = tmp_path / "hf"
    shutil.copytree(exported, output)
    monkeypatch.setattr(hf, "_write_weights", full_disk)
    with pytest.raises(WriteError, match=r"hf: cannot be written \(No space left on device\)"):
        hf.export(uninterrupted, output)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
    assert load_file(output / "model.safetensors")


@pytest.fixture
def copy(uninterrupted: Path, tmp_path: Path) -> Callable[[], Path]:
    def copied() -> Path:
        shutil.copytree(uninterrupted / "checkpoints" / "step-00000022", tmp_path / "step-00000022")
        return tmp_path / "step-00000022"

    return copied


def test_what_is_no_checkpoint_is_refused_by_name(copy: Callable[[], Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        hf.export(tmp_path / "nowhere", tmp_path / "hf")
    with pytest.raises(CheckpointError, match=r"not a checkpoint \(state\.json is missing\)"):
        hf.export(tmp_path, tmp_path / "hf")
    damaged = copy()
    (damaged / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(CheckpointError, match=r"step-00000022/tokenizer\.json: missing"):
        hf.export(damaged, tmp_path / "hf")
    (tmp_path / "tokenizer.json").rename(damaged / "tokenizer.json")
    shard = damaged / "__0_0.distcp"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="step-00000022: cannot be read"):
        hf.export(damaged, tmp_path / "hf")
    assert not (tmp_path / "hf").exists()
