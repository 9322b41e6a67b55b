"""Folders for others to read, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import CheckpointError, WriteError


def refuse_foreign(output: Path, *, mark: str, kind: str) -> None:
    """Raise CheckpointError unless `output` is new, empty, or holds the file `mark`, as an earlier `kind` does."""
    if output.is_dir() and ((output / mark).is_file() or not any(output.iterdir())):
        return
    if output.exists():
        raise CheckpointError(f"{output}: holds something else than an earlier {kind}; give an empty or new folder")


@contextmanager
def drafted(output: Path) -> Iterator[Path]:
    """A folder to write in, in place of `output` if all goes well, and gone if not. Raises WriteError."""
    from safetensors import SafetensorError

    whole = output.resolve()
    draft = whole.with_name(f".{whole.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if whole.exists():
            shutil.rmtree(whole)
        draft.rename(whole)
    except (OSError, SafetensorError) as error:
        raise WriteError.of(output, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
