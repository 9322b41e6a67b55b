"""What results depend on besides the recipe: this project's own code, the libraries that shape results, and models."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
import unicodedata
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from pipeline.models import block_list_files, language_model_file
from pipeline.recipe import Recipe, as_data
from pipeline.store import file_digest
from pipeline.token_words import tokenizer_digest
from stages.substrings import SubstringRules

LIBRARIES = (
    "trafilatura",
    "lxml",
    "justext",
    "lxml_html_clean",
    "htmldate",
    "courlan",
    "resiliparse",
    "faust-cchardet",
    "fasttext-predict",
    "idna",
    "brotli",
    "zstandard",
    "pyarrow",
    "numpy",
    "numba",
)
MODULES = (
    "byte_source.py",
    "capture.py",
    "content_coding.py",
    "document_files.py",
    "file_report.py",
    "groups.py",
    "guard.py",
    "guard_child.py",
    "gzip_members.py",
    "http.py",
    "index.py",
    "models.py",
    "page_worker.py",
    "publish.py",
    "recipe.py",
    "removals.py",
    "replay.py",
    "shards.py",
    "span.py",
    "store.py",
    "token_words.py",
    "tools.py",
    "unit.py",
    "unit_chain.py",
    "unit_range.py",
    "warc.py",
    "warc_record.py",
    "zstd_frames.py",
)
"""Modules of `pipeline/` whose code shapes results; all of `pipeline/dedup/` and `stages/` does."""


def results_depend_on(recipe: Recipe) -> dict[str, Any]:
    """Versions and digests, as `run.json` shows them."""
    return {
        "code": code_digest(),
        "python": platform.python_version_tuple()[:2],
        "unicode": unicodedata.unidata_version,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "language_model": file_digest(language_model_file(recipe)),
        "block_lists": [file_digest(path) for path in block_list_files(recipe)],
        "tokenizer": recipe.substrings and _tokenizer(recipe.substrings),
    }


def fingerprint(recipe: Recipe, origin: Mapping[str, Any] | None = None) -> str:
    """Digest of the recipe and of all that results depend on, as 32 hex digits; where files lie does not enter.

    origin: what a replay depends on besides.
    """
    data = as_data(recipe)
    data["language_model"] = None
    data["url"]["block_lists"] = None
    if recipe.substrings:
        data["substrings"]["tokenizer"] = None
    whole = json.dumps([data, results_depend_on(recipe), *([origin] if origin else [])], sort_keys=True)
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _tokenizer(rules: SubstringRules) -> dict[str, str] | None:
    digest = tokenizer_digest(rules)
    return {"digest": digest, "tokenizers": importlib.metadata.version("tokenizers")} if digest else None


@functools.cache
def code_digest() -> str:
    """Digest of the sources that shape results, as 32 hex digits."""
    state = hashlib.blake2b(digest_size=16)
    stages = [(name, file) for name, file in _files(resources.files("stages"), "stages")]
    pipeline = [(name, resources.files("pipeline").joinpath(name)) for name in MODULES]
    dedup = _files(resources.files("pipeline").joinpath("dedup"), "pipeline/dedup")
    for name, file in sorted([*stages, *pipeline, *dedup], key=lambda pair: pair[0]):
        body = file.read_bytes()
        state.update(f"{name}\0{len(body)}\0".encode() + body)
    return state.hexdigest()


def _files(folder: Traversable, name: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _files(entry, f"{name}/{entry.name}")
        elif entry.name.endswith((".py", ".yaml", ".txt")):
            found.append((f"{name}/{entry.name}", entry))
    return found
