"""pydivsufsort's side of `benchmarks/substrings.py`; runs in the peers' environment, which has no falconmix.

    PYTHON benchmarks/peer_suffix_array.py FOLDER ROUNDS

Reads FOLDER/text, writes FOLDER/suffix_array.npy and FOLDER/shared.npy (bytes that a suffix shares with the one after
it) and prints the least CPU seconds of ROUNDS constructions of the suffix array alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pydivsufsort


def main() -> None:
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    text = np.fromfile(folder / "text", np.uint8)
    seconds = []
    for _ in range(rounds):
        started_s = time.process_time()
        suffix_array = pydivsufsort.divsufsort(text)
        seconds.append(time.process_time() - started_s)
    np.save(folder / "suffix_array.npy", suffix_array)
    np.save(folder / "shared.npy", pydivsufsort.kasai(text, suffix_array))
    print(min(seconds))


if __name__ == "__main__":
    main()
