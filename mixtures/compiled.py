"""The one way kernels of this room are compiled: numba, no Python objects, the GIL released, machine code kept on disk.

Imported by tokenisation alone: reading token files needs no numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(function: Kernel) -> Kernel:
    """Return `function` compiled by numba at its first call; the signature is kept for readers and type checkers.

    Where there is no folder to keep machine code in, every process compiles anew.
    """
    try:
        return cast(Kernel, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available"
        return cast(Kernel, njit(nogil=True)(function))
