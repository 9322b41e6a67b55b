"""The options that say where token files lie: a folder, or an object store with a cache on this machine."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mixtures.roots import TokenRoot

CACHE_BYTES: Final = 50_000_000_000
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def add_token_root(command: argparse.ArgumentParser, *, required: bool, what: str) -> None:
    """Declare `--tokens` and the options of the cache; `what` is the help of the first."""
    command.add_argument("--tokens", required=required, metavar="TOKENS", help=f"{what}: a folder, or s3://… or alike")
    command.add_argument(
        "--token-cache",
        type=Path,
        metavar="DIR",
        help="where files of an object store are kept (default: falconmix/tokens in the user's cache folder)",
    )
    command.add_argument(
        "--token-cache-bytes",
        type=_bytes,
        default=CACHE_BYTES,
        metavar="N",
        help=f"how much of them at most (default {CACHE_BYTES:,})",
    )


def token_root(options: argparse.Namespace, address: str | None = None) -> TokenRoot:
    """The token root that `--tokens` names, else the one at `address`. Raises StoreAccessError."""
    from mixtures.remote import ObjectStore
    from mixtures.roots import Folder

    given: str = options.tokens or address or ""
    if given.lower().startswith("file://"):
        return Folder(Path(given[len("file://") :]))
    if not _URL.match(given):
        return Folder(Path(given))
    return ObjectStore(given, cache=options.token_cache or _default_cache(), cache_bytes=options.token_cache_bytes)


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "falconmix" / "tokens"


def _bytes(text: str) -> int:
    digits = text.replace("_", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes; write 50_000_000_000")
    return int(digits)
