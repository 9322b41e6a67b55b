"""Files of fastText's quantised classifiers, as fastText 0.9.2 writes them.

Its format: `src/fasttext.cc`, `dictionary.cc`, `quantmatrix.cc`, `productquantizer.cc`.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

_MAGIC, _VERSIONS = 793712314, (11, 12)
_ARGS = ["dim", "ws", "epoch", "min_count", "neg", "word_ngrams", "loss", "model", "bucket", "min_n", "max_n", "rate"]
_HIERARCHICAL_SOFTMAX, _SUPERVISED = 1, 3
_CENTROIDS = 256


class UnsupportedModelError(ValueError):
    """A model of another kind, which the library has to read."""


class ModelFile:
    """The parts of a model file, to be asked for in the file's order: arguments, dictionary, both matrices."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def value(self, kind: str) -> int:
        """The next number, of a `struct` kind such as "i"."""
        (value,) = struct.unpack_from(f"<{kind}", self._data, self._at)
        self._at += struct.calcsize(f"<{kind}")
        return int(value)

    def _array(self, kind: str, n: int) -> NDArray[np.generic]:
        values = np.frombuffer(self._data, kind, n, self._at)
        self._at += values.nbytes
        return values

    def args(self) -> dict[str, int]:
        """Settings of the training by name; UnsupportedModelError where they are another kind of classifier's."""
        if (self.value("i"), self.value("i") in _VERSIONS) != (_MAGIC, True):
            raise UnsupportedModelError("not a fastText model of a known version")
        args = {name: self.value("i") for name in _ARGS}
        self._at += 8  # t, the threshold of sampling
        if (args["loss"], args["model"], args["word_ngrams"]) != (_HIERARCHICAL_SOFTMAX, _SUPERVISED, 1):
            raise UnsupportedModelError("not a classifier by single words with hierarchical softmax")
        return args

    def dictionary(self) -> tuple[list[bytes], list[str], NDArray[np.int64], NDArray[np.int32]]:
        """Words; labels and how often they occur; pairs of hash and row of the n-grams that were kept."""
        size, n_words, n_labels = (self.value("i") for _ in range(3))
        self.value("q")
        n_pruned = self.value("q")
        names, counts = [], []
        for _ in range(size):
            end = self._data.index(b"\0", self._at)
            names.append(self._data[self._at : end])
            self._at = end + 1
            counts.append(self.value("q"))
            self._at += 1  # whether it is a label; labels come last
        if n_pruned < 0 or n_words + n_labels != size:
            raise UnsupportedModelError("the model's n-grams are not pruned")
        pruned = self._array("<i4", 2 * n_pruned).astype(np.int32).reshape(-1, 2)
        labels = [name.decode("utf-8") for name in names[n_words:]]
        return names[:n_words], labels, np.array(counts[n_words:], np.int64), pruned

    def dense_matrix(self) -> NDArray[np.float32]:
        """A matrix as it is."""
        n_rows, n_columns = self.value("q"), self.value("q")
        return self._array("<f4", n_rows * n_columns).astype(np.float32).reshape(n_rows, n_columns)

    def quantized_matrix(self) -> NDArray[np.float32]:
        """The matrix with every code looked up: the factors and products that the library computes at each use."""
        has_norms, n_rows, n_columns = self.value("?"), self.value("q"), self.value("q")
        codes = self._array("u1", self.value("i")).reshape(n_rows, -1)
        matrix = self._looked_up(codes)[:, :n_columns]
        if has_norms:
            matrix = matrix * self._looked_up(self._array("u1", n_rows).reshape(n_rows, 1))
        return np.ascontiguousarray(matrix, np.float32)

    def _looked_up(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        dim, n_parts, part, last_part = (self.value("i") for _ in range(4))
        centroids = self._array("<f4", dim * _CENTROIDS).astype(np.float32)
        columns = []
        for i in range(n_parts):
            width = last_part if i == n_parts - 1 else part
            first = i * _CENTROIDS * part
            columns.append(centroids[first : first + _CENTROIDS * width].reshape(_CENTROIDS, width)[codes[:, i]])
        return np.concatenate(columns, axis=1)
