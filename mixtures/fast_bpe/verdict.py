"""Whether the fast engine may serve a tokenizer: the verdict of `equality`, kept beside the tokenizer.

    tokenizer.json
    tokenizer.verdict.json

A verdict holds for one tokenizer, one version of Hugging Face's library and one version of the modules that make the
fast engine. It carries what the library was asked about each code point, so that a process that reads it need not ask.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from mixtures.files import written_whole

_MODULES: Final = ("byte_level", "byte_pairs", "code_points", "equality", "tokenizer_layout")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was found out about one tokenizer."""

    tokenizer: str
    """Digest of the tokenizer (`mixtures.tokenizer.digest`)."""
    library: str
    """Version of `tokenizers`."""
    engine: str
    """Digest of the fast engine's modules."""
    reason: str
    """Why the fast engine may not serve; empty where it may."""
    ranges: tuple[tuple[int, int], ...] = ()
    """Classes of code points (`code_points.CodePoints.ranges`)."""
    numeric_bytes: tuple[int, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both give the same ids for every text."""
        return not self.reason

    def holds_for(self, tokenizer_digest: str) -> bool:
        """Whether this is about that tokenizer, today's library and today's engine."""
        return (self.tokenizer, self.library, self.engine) == (tokenizer_digest, library_version(), engine_digest())


def verdict_path(tokenizer: Path) -> Path:
    """Where the verdict on the tokenizer.json at `tokenizer` lies."""
    return tokenizer.with_name(f"{tokenizer.stem}.verdict.json")


def read_verdict(tokenizer: Path, tokenizer_digest: str) -> Verdict | None:
    """The verdict beside `tokenizer`; None where there is none that holds, whether missing, outdated or damaged."""
    try:
        found = json.loads(verdict_path(tokenizer).read_text(encoding="utf-8"))
        found["ranges"] = tuple((int(start), int(of_class)) for start, of_class in found["ranges"])
        found["numeric_bytes"] = tuple(map(int, found["numeric_bytes"]))
        verdict = Verdict(**found)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return verdict if verdict.holds_for(tokenizer_digest) else None


def write_verdict(tokenizer: Path, verdict: Verdict) -> None:
    """Put a verdict beside `tokenizer`, whole or not at all."""
    with written_whole(verdict_path(tokenizer)) as file:
        file.write(json.dumps(asdict(verdict)).encode() + b"\n")


def library_version() -> str:
    """The installed version of `tokenizers`."""
    return metadata.version("tokenizers")


def engine_digest() -> str:
    """BLAKE2b-128, as hex digits, of the modules that decide the ids or the verdict."""
    content = b"".join(Path(__file__).with_name(f"{module}.py").read_bytes() for module in _MODULES)
    return hashlib.blake2b(content, digest_size=16).hexdigest()
