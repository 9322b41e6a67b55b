"""A Hugging Face folder as a checkpoint to start training from: the released Falcon-11B, or an export.

    import_weights(Path("falcon-11B"), Path("start"))   # a folder with DCP files, weights.json and tokenizer.json
    initial_weights(Path("start"), trained, config.model)    # into a sharded model, whatever its mesh

Weights are renamed and nothing else, and keep their type (bf16 stays bf16 on disk); one tensor at a time is in memory.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import MetadataIndex
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors

from mixtures.catalogue import TOKENIZER
from mixtures.tokenizer import digest
from trainer import checkpoint, checksums
from trainer.build import Trained
from trainer.config import ModelConfig
from trainer.draft import drafted, refuse_foreign
from trainer.errors import CheckpointError, MismatchError
from trainer.hf_config import same_shape, weights_of
from trainer.parallel import local
from trainer.saving import CheckedWriter
from trainer.weights import FORMAT, WEIGHTS, Imported, Weights, described, laid_out

_TYPES: Final = {"BF16": torch.bfloat16, "F32": torch.float32}
_EMBEDDING: Final = "word_embeddings.weight"
_HEAD: Final = "lm_head.weight"


def import_weights(source: Path, output: Path) -> Imported:
    """Write the model of the Hugging Face folder `source` to the checkpoint folder `output`; returns what it is.

    The folder appears when all is in it; one of an earlier import is replaced, any other refused. Raises MismatchError
    (another architecture, a tensor that is missing, unknown or of another shape or type), CheckpointError (no such
    model), WriteError.
    """
    if not source.is_dir():
        raise CheckpointError(f"{source}: no such folder; give that of a Hugging Face model")
    weights = weights_of(_read_json(source / "config.json"), str(source / "config.json"))
    tokenizer = _read(source / TOKENIZER)
    files = _Files(source)
    _check(files, weights)
    refuse_foreign(output, mark=WEIGHTS, kind="import")
    names = [name for name, _ in laid_out(weights).named_parameters()]
    found = Imported(
        format=FORMAT,
        weights=weights,
        tokenizer=_digest(tokenizer, source / TOKENIZER),
        source=source.resolve().name,
        tensors=len(names),
    )
    with drafted(output) as draft:
        sums = _write(draft, files, names)
        shutil.copyfile(source / TOKENIZER, draft / TOKENIZER)
        (draft / WEIGHTS).write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        checksums.write(draft, sums | checksums.checksums(draft, (".metadata", WEIGHTS, TOKENIZER)))
    return found


def initial_weights(path: Path, trained: Trained, config: ModelConfig) -> Weights:
    """Fill the weights of `trained`, a model of `config`, from imported weights or from any run's checkpoint.

    A collective: each process reads its own shards, whoever wrote them and however they were sharded. The optimiser
    stays as it is. A tied model's embedding becomes the head of an untied one as well. Returns what the weights are: a
    rotary base or context other than the recipe's is the caller's to mention. Raises MismatchError where they do not
    fit, CheckpointError where they cannot be read.
    """
    path = checkpoint.found(path)
    weights = described(path)
    difference = same_shape(config, weights.model)
    if difference:
        raise MismatchError(f"{path}: its weights do not fit the recipe's model: {difference}; change the recipe")
    if trained.model.tied and not weights.tied:
        raise MismatchError(f"{path}: its head is untied, the recipe's first stage has a tied one; set tied: false")
    parameters = {name: parameter.detach() for name, parameter in trained.model.named_parameters()}
    wanted = {f"model.{n}": p for n, p in parameters.items() if not (weights.tied and n == _HEAD)}
    checkpoint.read_tensors(path, wanted)
    if weights.tied and not trained.model.tied:
        # Both are sharded alike, so each process copies its own part.
        local(parameters[_HEAD]).copy_(local(parameters[_EMBEDDING]))
    return weights


class _Files:
    """The safetensors files of a folder, one or several with an index. Raises CheckpointError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = lru_cache(maxsize=None)(self._opened)
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            self._places: dict[str, str] = _weight_map(index)
        elif (folder / "model.safetensors").is_file():
            self._places = dict.fromkeys(self._open("model.safetensors").keys(), "model.safetensors")
        else:
            raise CheckpointError(
                f"{folder}: holds neither model.safetensors nor its index; give a model in safetensors"
            )

    def names(self) -> set[str]:
        """Names of the tensors, as the file has them."""
        return set(self._places)

    def described(self, name: str) -> tuple[tuple[int, ...], str]:
        """Shape and type of a tensor."""
        part = self._file_of(name).get_slice(name)
        return tuple(part.get_shape()), str(part.get_dtype())

    def read(self, name: str) -> Tensor:
        """A tensor, in memory of its own."""
        tensor: Tensor = self._file_of(name).get_tensor(name)
        return tensor

    def _file_of(self, name: str) -> Any:
        file = self._open(self._places[name])
        if name not in file.keys():  # noqa: SIM118 - not a dict
            raise CheckpointError(f"{self._folder / self._places[name]}: lacks {name}, which the index says it has")
        return file

    def _opened(self, name: str) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self._folder / name, framework="pt")
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{self._folder / name}: cannot be read ({error}); download it again") from error


def _check(files: _Files, weights: Weights) -> None:
    """Raise MismatchError unless the files hold just the tensors of that model, in types that are known."""
    model = laid_out(weights)
    shapes = {_theirs(name): tuple(parameter.shape) for name, parameter in model.named_parameters()}
    names = files.names()
    if weights.tied and _HEAD in names:
        _check_head(files)
        names = names - {_HEAD}
    for name in sorted(shapes.keys() ^ names):
        raise MismatchError(
            f"{name}: {'missing' if name in shapes else 'unknown to Falcon2'}; is config.json this model's?"
        )
    for name, shape in shapes.items():
        found, kind = files.described(name)
        if found != shape:
            raise MismatchError(
                f"{name}: shape {found}, where config.json says {shape}; one of the two is of another model"
            )
        if kind not in _TYPES:
            raise MismatchError(f"{name}: type {kind}; {' and '.join(_TYPES)} can be imported, convert it")


def _check_head(files: _Files) -> None:
    """A tied head may be written out, as the embedding's equal."""
    if not torch.equal(files.read(_HEAD), files.read(_theirs(_EMBEDDING))):
        raise MismatchError(
            f"{_HEAD}: differs from the embedding, but config.json says tie_word_embeddings; set it false"
        )


def _write(folder: Path, files: _Files, names: list[str]) -> dict[str, str]:
    """Write the tensors; returns the checksums of their files."""
    shells = {}
    for name in names:
        shape, kind = files.described(_theirs(name))
        shells[f"model.{name}"] = torch.empty(shape, dtype=_TYPES[kind], device="meta")
    planner = _Streaming(lambda name: files.read(_theirs(name.removeprefix("model."))))
    # A file for each tensor: the writer lets go of tensors when their file is done.
    writer = CheckedWriter(folder, single_file_per_rank=False)
    with warnings.catch_warnings():
        # Said whenever one process writes by itself, which is what is meant here.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save_tensors(shells, storage_writer=writer, planner=planner, no_dist=True)
    return writer.sums


class _Streaming(DefaultSavePlanner):
    """Reads each tensor when the writer asks for it; what is being saved are shapes alone."""

    def __init__(self, read: Callable[[str], Tensor]) -> None:
        super().__init__()
        self._tensor = read

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        return self._tensor(index.fqn)


def _theirs(name: str) -> str:
    return name if name == _HEAD else f"transformer.{name}"


def _digest(tokenizer: str, path: Path) -> str:
    try:
        return digest(tokenizer)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a tokenizer ({error}); copy that of the model there") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; download it with the model") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); download it again") from error


def _weight_map(index: Path) -> dict[str, str]:
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise CheckpointError(f"{index}: has no weight_map of tensors and files; download it again")
    return places


def _read_json(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a mapping; download it again")
    return content
