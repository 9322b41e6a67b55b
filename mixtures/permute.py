"""A keyed bijection of [0, n): shuffling by arithmetic, without a table, any element in constant time.

A Feistel network over Z_a x Z_b, with a * b the smallest product of near-equal sides that holds n: each round adds to
one half a hash of the other. What falls beyond n is sent through again until it lands inside (cycle walking; Black and
Rogaway, "Ciphers with arbitrary finite domains", 2002); since a * b < n + a, that is rare but for tiny n.
"""

from __future__ import annotations

import hashlib
import json
from math import isqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ROUNDS: Final = 8
_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class Permutation:
    """The bijection of [0, n) under `key` (any tuple of numbers and strings).

    `forward` and `inverse` take one integer or a uint64 array, and give the same kind back.
    """

    def __init__(self, n: int, key: tuple[int | str, ...]) -> None:
        if not 1 <= n < 2**62:
            raise ValueError(f"cannot permute {n} elements: from 1 to 2**62 - 1 are possible")
        self._n = n
        self._a = isqrt(n - 1) + 1
        self._b = -(-n // self._a)
        digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8 * _ROUNDS).digest()
        self._keys = [int.from_bytes(digest[i : i + 8], "little") for i in range(0, 8 * _ROUNDS, 8)]

    def forward(self, i: Any) -> Any:
        """Where element `i` goes. Raises IndexError outside [0, n)."""
        return self._walk(i, self._encrypt)

    def inverse(self, j: Any) -> Any:
        """Which element goes to `j`. Raises IndexError outside [0, n)."""
        return self._walk(j, self._decrypt)

    def _walk(self, x: Any, step: Any) -> Any:
        if isinstance(x, np.ndarray):
            return self._walk_array(x, step)
        if not 0 <= x < self._n:
            raise IndexError(f"{x} is outside [0, {self._n})")
        x = step(int(x))
        while x >= self._n:
            x = step(x)
        return x

    def _walk_array(self, x: npt.NDArray[Any], step: Any) -> npt.NDArray[np.uint64]:
        if x.size and (int(x.min()) < 0 or int(x.max()) >= self._n):
            raise IndexError(f"an element is outside [0, {self._n})")
        x = step(x.astype(np.uint64))
        while (outside := x >= self._n).any():
            x[outside] = step(x[outside])
        return x

    def _encrypt(self, x: Any) -> Any:
        left, right = x // self._b, x % self._b
        for i in range(0, _ROUNDS, 2):
            left = (left + _hash(right, self._keys[i]) % self._a) % self._a
            right = (right + _hash(left, self._keys[i + 1]) % self._b) % self._b
        return left * self._b + right

    def _decrypt(self, x: Any) -> Any:
        left, right = x // self._b, x % self._b
        for i in reversed(range(0, _ROUNDS, 2)):
            right = (right + self._b - _hash(left, self._keys[i + 1]) % self._b) % self._b
            left = (left + self._a - _hash(right, self._keys[i]) % self._a) % self._a
        return left * self._b + right


def _hash(x: Any, key: int) -> Any:
    """SplitMix64's finaliser (Steele et al., 2014) of an integer or uint64 array; the masks serve Python's integers."""
    x = x ^ key
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return x ^ (x >> 31)
