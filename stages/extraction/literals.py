"""Many literals sought in many short texts at once (Aho and Corasick, 1975), as one table and one compiled loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled

_N_SYMBOLS = 128  # literals are ASCII; any other byte matches none
_SEPARATOR = "\0"  # what no attribute holds


class Literals:
    """An automaton for some ASCII literals; the empty one is found in every text."""

    def __init__(self, literals: Sequence[str]) -> None:
        goto: list[dict[int, int]] = [{}]
        found: list[list[int]] = [[]]
        for i, literal in enumerate(literals):
            state = 0
            for symbol in literal.encode("ascii"):
                if symbol not in goto[state]:
                    goto.append({})
                    found.append([])
                    goto[state][symbol] = len(goto) - 1
                state = goto[state][symbol]
            if state:
                found[state].append(i)
        self._empty = [i for i, literal in enumerate(literals) if not literal]
        self._n_literals = len(literals)
        self.table = np.zeros((len(goto), _N_SYMBOLS), np.int32)
        self._complete(goto, found)
        self._starts = np.cumsum([0, *map(len, found)]).astype(np.int64)
        self._found = np.array([i for ids in found for i in ids], np.int64)
        self.is_end = np.diff(self._starts) > 0
        """Of each state: whether a literal ends there."""
        self._most = max(map(len, found))

    def _complete(self, goto: list[dict[int, int]], found: list[list[int]]) -> None:
        """Fill the table level by level: where a state has no edge, its longest proper suffix's applies."""
        suffix = [0] * len(goto)
        level = [0]
        while level:
            following = []
            for state in level:
                if state:
                    self.table[state] = self.table[suffix[state]]
                for symbol, target in goto[state].items():
                    suffix[target] = int(self.table[suffix[state], symbol]) if state else 0
                    found[target] += found[suffix[target]]
                    following.append(target)
                for symbol, target in goto[state].items():
                    self.table[state, symbol] = target
            level = following

    @property
    def finds_empty(self) -> bool:
        """Whether the empty literal is among them."""
        return bool(self._empty)

    def occurring(self, texts: Sequence[str]) -> list[tuple[int, int]]:
        """Return (index of text, index of literal) for each literal that occurs in a text, each pair once."""
        joined = np.frombuffer(_SEPARATOR.join(texts).encode("utf-8", "replace"), np.uint8)
        pairs = np.empty((min(len(texts) * self._n_literals, joined.size * self._most), 2), np.int64)
        n = _scan(joined, self.table, self._starts, self._found, np.full(self._n_literals, -1, np.int64), pairs)
        everywhere = [(i, literal) for literal in self._empty for i in range(len(texts))]
        return [*zip(pairs[:n, 0].tolist(), pairs[:n, 1].tolist(), strict=True), *everywhere]


@compiled
def _scan(
    joined: NDArray[np.uint8],
    table: NDArray[np.int32],
    starts: NDArray[np.int64],
    found: NDArray[np.int64],
    last_in: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> int:
    """Fill `pairs`; return their number. `last_in`: the last text in which a literal was found."""
    n, state, text = 0, np.int32(0), 0
    for byte in joined:
        if byte == 0:
            text += 1
        state = table[state, byte] if byte < _N_SYMBOLS else np.int32(0)
        for k in range(starts[state], starts[state + 1]):
            literal = found[k]
            if last_in[literal] != text:
                last_in[literal] = text
                pairs[n, 0], pairs[n, 1] = text, literal
                n += 1
    return n
