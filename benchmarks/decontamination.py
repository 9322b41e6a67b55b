"""Decontamination: CPU time beside plain Python and beside tokenising the same documents; the same hits on both sides.

    python benchmarks/decontamination.py --input shared/data/text \
        --tokenizer shared/data/models/falcon_tokenizer.json --json

Input: `.jsonl` with `text`, cut at white space into documents of `--words` words. The evaluation set is made of them:
of every `--leak`-th document its middle 40 words, as an item; and `--items` items of words drawn at random from the
corpus, as many as a large collection of test sets has, none of which stands anywhere. Plain Python: a dictionary of
tuples of words, asked for every place of every document. CPU time is that of the process, kernels compiled and table of
letters made before; both sides hold the index; making it is shown apart. Tokenising: HF tokenizers, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from given import files_of
from mixtures.decontamination.decontaminate import Decontamination, Decontaminator, EvaluationFile
from mixtures.decontamination.evaluation_sets import Item
from mixtures.tokenizer import open_tokenizer

SEED = 13
BATCH = 256
ITEM_WORDS = 40


def main() -> None:
    options = _options()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    documents = cut([text for path in files_of(options.input, (".jsonl",)) for text in _texts(path)], options.words)
    if not documents:
        raise SystemExit(f"{options.input}: no document of {options.words} words in .jsonl files")
    items = leaks(documents, options.leak) + inventions(documents, options.items)
    figures = {"documents": len(documents), "mb": sum(len(text.encode()) for text in documents) / 1e6} | compare(
        documents, items, options
    )
    print(
        f"{figures['documents']:,} documents, {figures['mb']:.1f} MB, {figures['items']:,} items; "
        f"{figures['contaminated']:,} contaminated; {figures['us_per_document']:.0f} µs a document, plain Python "
        f"{figures['plain_us_per_document']:.0f}; tokenising {figures['tokenising_us_per_document']:.0f}"
    )
    if options.json:
        print(json.dumps(figures))


def compare(documents: Sequence[str], items: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Figures of both sides and of tokenising. Raises SystemExit where the two sides find other documents."""
    indexed(["warm " * 20]).check(["warm"], ["up"])
    decontaminator, index_s = timed(lambda: indexed(items))
    batches = [documents[first : first + BATCH] for first in range(0, len(documents), BATCH)]
    found, cpu_s = best(
        options.rounds, lambda: [v for batch in batches for v in decontaminator.check([""] * len(batch), batch)]
    )
    ngrams, plain_index_s = timed(lambda: plain_index(items))
    plain, plain_s = best(1, lambda: [plain_hits(text, ngrams) for text in documents])
    hits = [verdict.hits if verdict else 0 for verdict in found]
    if hits != plain:
        raise SystemExit(f"other hits than plain Python's in {sum(a != b for a, b in zip(hits, plain, strict=True))}")
    tokenizer = open_tokenizer(options.tokenizer)
    tokenising_s = best(options.rounds, lambda: [tokenizer.encode_batch(batch) for batch in batches])[1]
    per_document_us = 1e6 / len(documents)
    return {
        "items": len(items),
        "ngrams": len(ngrams),
        "contaminated": sum(map(bool, hits)),
        "hits": sum(hits),
        "us_per_document": cpu_s * per_document_us,
        "plain_us_per_document": plain_s * per_document_us,
        "ratio": plain_s / cpu_s,
        "tokenising_us_per_document": tokenising_s * per_document_us,
        "share_of_tokenising": cpu_s / tokenising_s,
        "index_s": index_s,
        "plain_index_s": plain_index_s,
    }


def indexed(items: Sequence[str]) -> Decontaminator:
    settings = Decontamination(
        files=(EvaluationFile(path=Path("made.txt"), digest=""),),
        columns=(),
        ngram=13,
        least=8,
        min_hits=1,
        on_hit="drop",
    )
    return Decontaminator(settings, [[Item(number=i, passages=(item,)) for i, item in enumerate(items, 1)]])


def plain_index(items: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + 13]) for words in map(plain_words, items) for i in range(len(words) - 12)}


def plain_hits(text: str, ngrams: set[tuple[str, ...]]) -> int:
    words = plain_words(text)
    return sum(tuple(words[i : i + 13]) in ngrams for i in range(len(words) - 12))


def plain_words(text: str) -> list[str]:
    """The rule of `mixtures.decontamination.plain_words`, the quickest way that plain Python has."""
    lower = unicodedata.normalize("NFC", text).lower()
    if not lower.isascii():
        wanted = [char if char.isspace() or unicodedata.category(char)[0] in "LMN" else "" for char in lower]
        return "".join(wanted).split()
    return lower.translate(_DELETE).split()


_DELETE = {code: None for code in range(128) if not (chr(code).isalnum() or chr(code).isspace())}


def cut(texts: Sequence[str], words: int) -> list[str]:
    """Documents of `words` words, white space kept as one space; what is left at an end is left out."""
    return [
        " ".join(split[first : first + words])
        for split in map(str.split, texts)
        for first in range(0, len(split) - words + 1, words)
    ]


def leaks(documents: Sequence[str], every: int) -> list[str]:
    """The middle of every `every`-th document, in capitals."""
    middles = []
    for text in documents[::every]:
        words = text.split()
        first = (len(words) - ITEM_WORDS) // 2
        middles.append(" ".join(words[max(0, first) : first + ITEM_WORDS]).upper())
    return middles


def inventions(documents: Sequence[str], count: int) -> list[str]:
    draw = random.Random(SEED)
    words = " ".join(documents[:: max(1, len(documents) // 200)]).split()
    return [" ".join(draw.choices(words, k=ITEM_WORDS)) for _ in range(count)]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started_s = time.process_time()
    return work(), time.process_time() - started_s


def best(rounds: int, work: Callable[[], Any]) -> tuple[Any, float]:
    """Result and least CPU time of several rounds."""
    runs = [timed(work) for _ in range(rounds)]
    return runs[0][0], min(cpu_s for _, cpu_s in runs)


def _texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_bytes().splitlines()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, metavar="PATH", help="a file, a folder or a quoted glob")
    parser.add_argument("--tokenizer", required=True, type=Path, metavar="FILE", help="a tokenizer.json")
    parser.add_argument("--words", type=int, default=500, help="of a document (default 500)")
    parser.add_argument("--leak", type=int, default=50, help="every how manieth document is contaminated (default 50)")
    parser.add_argument("--items", type=int, default=100_000, help="evaluation items beside those (default 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="the best of which is shown (default 3)")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
