"""The one way kernels are compiled: numba, no Python objects, the GIL released, machine code kept on disk.

numba notices a change only in the file that holds a kernel, not in the kernels it calls from another file: after
editing `stages/segment.py`, delete `stages/__pycache__/*.nbi` (or set NUMBA_CACHE_DIR to a fresh folder), or the
kernels of `stages.signals` and `stages.minhash` keep the old code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(function: Kernel) -> Kernel:
    """Return `function` compiled by numba at its first call; the signature is kept for readers and type checkers.

    Where there is no folder to keep machine code in (neither beside the source nor in the user's cache), every
    process compiles anew.
    """
    try:
        return cast(Kernel, njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "no locator available"
        return cast(Kernel, njit(nogil=True)(function))
