"""Hugging Face folders as transformers writes them, imported, exported, and trained from."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.runs import tensors
from trainer import hf, hf_import
from trainer.build import blank, initialise
from trainer.config import load_recipe
from trainer.errors import CheckpointError, MismatchError
from trainer.hf_import import import_weights, initial_weights
from trainer.layout import Process
from trainer.parallel import joined

SHAPE = {
    "vocab_size": 320,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_kv_heads": 8,
    "ffn_hidden_size": 96,
    "max_position_embeddings": 48,
    "new_decoder_architecture": True,
    "num_ln_in_parallel_attn": 1,
    "bos_token_id": 11,
    "eos_token_id": 11,
    "tie_word_embeddings": False,
}


@pytest.fixture
def write(tokens: Path, tmp_path: Path) -> Callable[..., Path]:
    """Saves a random `FalconForCausalLM`, as transformers does, with the tokenizer of the small corpus."""

    def saved(
        *, dtype: torch.dtype = torch.float32, shard: str = "60KB", theta: float = 500_042.0, **shape: Any
    ) -> Path:
        from transformers import FalconConfig, FalconForCausalLM

        torch.manual_seed(3)
        rope = {"rope_type": "default", "rope_theta": theta}
        model = FalconForCausalLM(FalconConfig(**(SHAPE | shape), rope_parameters=rope)).to(dtype)
        folder = tmp_path / "their-model"
        model.save_pretrained(folder, max_shard_size=shard)
        shutil.copyfile(tokens / "tokenizer.json", folder / "tokenizer.json")
        return folder

    return saved


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """The same names, types and bits."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("kv_heads", "tied"), [(8, False), (1, True), (2, False)], ids=["8", "1 tied", "2"])
def test_import_and_export_give_the_same_bits(
    write: Callable[..., Path], tmp_path: Path, dtype: torch.dtype, kv_heads: int, tied: bool
) -> None:
    source = write(dtype=dtype, num_kv_heads=kv_heads, tie_word_embeddings=tied)
    assert len(list(source.glob("model-*.safetensors"))) > 2
    found = import_weights(source, tmp_path / "start")
    assert (found.weights.model.kv_heads, found.weights.tied, found.weights.rope_theta) == (kv_heads, tied, 500_042.0)
    assert (found.weights.context, found.weights.eod_id, found.source) == (48, 11, "their-model")
    hf.export(tmp_path / "start", tmp_path / "hf")
    assert_equal(weights(tmp_path / "hf"), weights(source))
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert (config["dtype"], config["num_kv_heads"]) == (str(dtype).removeprefix("torch."), kv_heads)
    import_weights(tmp_path / "hf", tmp_path / "again")
    hf.export(tmp_path / "again", tmp_path / "hf-again")
    assert_equal(weights(tmp_path / "hf-again"), weights(source))


def test_an_export_of_a_run_imports_to_the_runs_weights(uninterrupted: Path, tmp_path: Path) -> None:
    trained = tensors(uninterrupted / "checkpoints" / "step-00000022")
    import_weights(hf.export(uninterrupted, tmp_path / "hf"), tmp_path / "start")
    assert_equal(tensors(tmp_path / "start"), {n: t for n, t in trained.items() if n.startswith("model.")})


def test_an_export_in_bf16_is_the_rounded_weights(uninterrupted: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    hf.export(uninterrupted, tmp_path / "fp32")
    hf.export(uninterrupted, tmp_path / "bf16", dtype="bfloat16")
    exact, rounded = weights(tmp_path / "fp32"), weights(tmp_path / "bf16")
    assert_equal(rounded, {name: tensor.bfloat16() for name, tensor in exact.items()})
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "bf16").dtype == torch.bfloat16


def test_one_tensor_at_a_time_is_in_memory(write: Callable[..., Path], tmp_path: Path, monkeypatch: Any) -> None:
    """The process's own memory while 38 MB of tensors, none above 1 MB, are read and written one after another."""
    source = write(num_hidden_layers=12, hidden_size=256, ffn_hidden_size=1024, shard="10MB")
    read, held = hf_import._Files.read, list[int]()

    def watched(files: Any, name: str) -> torch.Tensor:
        held.append(own_memory_bytes())
        return read(files, name)

    monkeypatch.setattr(hf_import._Files, "read", watched)
    import_weights(source, tmp_path / "start")
    held.append(own_memory_bytes())
    assert len(held) == 12 * 6 + 4 + 1
    assert max(held) - held[0] < 6e6


def own_memory_bytes() -> int:
    """Resident pages that are no file's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def test_they_are_where_training_starts(uninterrupted: Path, recipe: Path, tmp_path: Path) -> None:
    """From imported weights, and from a run's checkpoint, into a sharded model of the recipe."""
    config, process = load_recipe(recipe), Process()
    whole = tensors(uninterrupted / "checkpoints" / "step-00000022")
    import_weights(hf.export(uninterrupted, tmp_path / "hf", dtype="bfloat16"), tmp_path / "start")
    with joined(process) as mesh:
        for source, cast in ((uninterrupted, torch.float32), (tmp_path / "start", torch.bfloat16)):
            trained = blank(config, config.stages[3], mesh, process)
            found = initial_weights(source, trained, config.model)
            assert (found.tied, found.rope_theta) == (False, 5_000)
            for name, parameter in trained.model.named_parameters():
                assert parameter.dtype == torch.float32
                assert torch.equal(parameter.full_tensor(), whole[f"model.{name}"].to(cast).float()), name  # type: ignore[attr-defined]
                assert not trained.optimizer.state[parameter]["exp_avg"].full_tensor().any()


@pytest.mark.slow
def test_two_processes_take_their_halves_of_tied_bf16_weights(
    uninterrupted: Path, recipe: Path, repository: Path, tmp_path: Path
) -> None:
    source = hf.export(uninterrupted / "checkpoints" / "step-00000012", tmp_path / "hf", dtype="bfloat16")
    import_weights(source, tmp_path / "start")
    script = repository / "tests" / "trainer" / "two_ranks_import.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    arguments = [recipe, tmp_path / "start", tmp_path]
    done = subprocess.run(
        [*launch, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    stored = tensors(tmp_path / "start")
    stored["model.lm_head.weight"] = stored["model.word_embeddings.weight"]
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1)]
    for found in ranks:
        assert_equal({f"model.{n}": t for n, t in found["weights"].items()}, {n: t.float() for n, t in stored.items()})
    assert sum(found["held"] for found in ranks) == sum(tensor.numel() for tensor in stored.values())


def test_a_tied_embedding_becomes_the_head_of_an_untied_model(uninterrupted: Path, recipe: Path) -> None:
    config, process = load_recipe(recipe), Process()
    source = uninterrupted / "checkpoints" / "step-00000012"
    embedding = tensors(source)["model.word_embeddings.weight"]
    with joined(process) as mesh:
        trained = blank(config, config.stages[3], mesh, process)
        assert initial_weights(source, trained, config.model).tied
        assert trained.model.lm_head is not None
        assert torch.equal(trained.model.lm_head.weight.full_tensor(), embedding)  # type: ignore[operator]
        assert torch.equal(trained.model.word_embeddings.weight.full_tensor(), embedding)  # type: ignore[operator]


def test_weights_that_do_not_fit_are_refused_by_the_field(
    write: Callable[..., Path], uninterrupted: Path, recipe: Path, tmp_path: Path
) -> None:
    import_weights(write(), tmp_path / "start")
    config, process = load_recipe(recipe), Process()
    with joined(process) as mesh:
        tied, untied = (blank(config, config.stages[number], mesh, process) for number in (0, 3))
        initialise(untied.model, config.model, 1)
        with pytest.raises(MismatchError, match="start: its weights do not fit .*: hidden is 32 here and 64 there"):
            initial_weights(tmp_path / "start", untied, config.model)
        with pytest.raises(MismatchError, match="its head is untied, the recipe's first stage has a tied one"):
            initial_weights(uninterrupted, tied, config.model)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", "llama", "config.json: model_type is 'llama', where Falcon2's is 'falcon'"),
        ("new_decoder_architecture", False, "new_decoder_architecture is False"),
        ("num_ln_in_parallel_attn", None, "num_ln_in_parallel_attn is None, where Falcon2's is 1"),
        ("num_ln_in_parallel_attn", 2, "num_ln_in_parallel_attn is 2"),
        ("alibi", True, "alibi is True"),
        ("bias", True, "bias is True"),
        ("activation", "gelu_new", "activation is 'gelu_new'"),
        ("rope_scaling", {"factor": 2.0}, "rope_scaling is"),
        ("rope_parameters", {"rope_type": "yarn"}, "rope_parameters.rope_type is 'yarn'"),
        ("rope_parameters", "default", "rope_parameters is 'default', not a mapping"),
        ("rope_parameters", {"rope_theta": "high"}, "rope_theta is 'high', not a number above 0"),
        ("num_kv_heads", 3, "config.json: heads must be a multiple of kv_heads"),
        ("hidden_size", None, "hidden_size is None, not a whole number"),
        ("eos_token_id", [11, 12], r"eos_token_id is \[11, 12\], not a whole number"),
        ("ffn_hidden_size", 128, r"dense_h_to_4h.weight: shape \(96, 64\), where config.json says \(128, 64\)"),
        ("num_hidden_layers", 3, r"transformer.h.2.input_layernorm.bias: missing"),
        ("num_hidden_layers", 1, r"transformer.h.1.input_layernorm.bias: unknown"),
        ("tie_word_embeddings", True, r"lm_head.weight: differs from the embedding"),
    ],
)
def test_another_architecture_is_refused_by_the_field(
    write: Callable[..., Path], tmp_path: Path, field: str, value: Any, message: str
) -> None:
    source = write()
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {field: value}))
    with pytest.raises(MismatchError, match=message):
        import_weights(source, tmp_path / "start")
    assert not (tmp_path / "start").exists()


def test_a_config_of_older_transformers_is_understood() -> None:
    """Falcon-11B's values in the form that it was released in: the base at top level, `torch_dtype`."""
    from trainer.hf_config import weights_of
    from trainer.weights import laid_out

    released = {
        "activation": "gelu",
        "alibi": False,
        "architectures": ["FalconForCausalLM"],
        "attention_dropout": 0.0,
        "bias": False,
        "bos_token_id": 11,
        "eos_token_id": 11,
        "ffn_hidden_size": 16384,
        "hidden_dropout": 0.0,
        "hidden_size": 4096,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "max_position_embeddings": 8192,
        "model_type": "falcon",
        "multi_query": True,
        "new_decoder_architecture": True,
        "num_attention_heads": 32,
        "num_hidden_layers": 60,
        "num_kv_heads": 8,
        "num_ln_in_parallel_attn": 1,
        "parallel_attn": True,
        "rope_scaling": None,
        "rope_theta": 500042.0,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 65024,
    }
    found = weights_of(released, "config.json")
    assert (found.rope_theta, found.context, found.tied, found.eod_id) == (500_042.0, 8192, False, 11)
    assert sum(parameter.numel() for parameter in laid_out(found).parameters()) == 11_102_822_400


def test_a_written_out_tied_head_is_accepted(write: Callable[..., Path], tmp_path: Path) -> None:
    source = write(tie_word_embeddings=True, shard="1GB")
    plain = weights(source)
    head = {"lm_head.weight": plain["transformer.word_embeddings.weight"].clone()}
    save_file(plain | head, source / "model.safetensors", metadata={"format": "pt"})
    import_weights(source, tmp_path / "start")
    hf.export(tmp_path / "start", tmp_path / "hf")
    assert_equal(weights(tmp_path / "hf"), plain)


def test_what_is_no_model_is_refused_by_name(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: no such folder"):
        import_weights(tmp_path / "nowhere", tmp_path / "start")
    source = write()
    (source / "tokenizer.json").rename(tmp_path / "kept.json")
    with pytest.raises(CheckpointError, match="tokenizer.json: missing"):
        import_weights(source, tmp_path / "start")
    (source / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="tokenizer.json: not a tokenizer"):
        import_weights(source, tmp_path / "start")
    shutil.copyfile(tmp_path / "kept.json", source / "tokenizer.json")
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "thesis.txt").write_text("long work")
    with pytest.raises(CheckpointError, match="something else than an earlier import"):
        import_weights(source, tmp_path / "start")
    shard = min(source.glob("model-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"{shard.name}: cannot be read"):
        import_weights(source, tmp_path / "new")
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"{shard.name}: cannot be read"):
        import_weights(source, tmp_path / "new")
    index = source / "model.safetensors.index.json"
    for damaged in ("{}", '{"weight_map": [1]}', '{"weight_map": {"lm_head.weight": 1}}'):
        index.write_text(damaged)
        with pytest.raises(CheckpointError, match=f"{index.name}: has no weight_map"):
            import_weights(source, tmp_path / "new")
    (source / "config.json").unlink()
    with pytest.raises(CheckpointError, match="config.json: missing; download it with the model$"):
        import_weights(source, tmp_path / "new")
    assert [path.name for path in (tmp_path / "start").iterdir()] == ["thesis.txt"]


def test_a_type_that_would_lose_bits_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    source = write(dtype=torch.float16)
    with pytest.raises(MismatchError, match="type F16; BF16 and F32 can be imported"):
        import_weights(source, tmp_path / "start")


def test_an_import_replaces_an_import(write: Callable[..., Path], tmp_path: Path) -> None:
    source = write()
    import_weights(source, tmp_path / "start")
    (tmp_path / "start" / "stray").write_text("")
    found = import_weights(source, tmp_path / "start")
    assert not (tmp_path / "start" / "stray").exists()
    assert found.tensors == len(tensors(tmp_path / "start")) == 16
