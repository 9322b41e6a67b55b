"""Grows a corpus of any size from real texts, with near-duplicates and shared passages that are known.

    python benchmarks/grown_corpus.py --input ../shared/data/text --documents 20000 --output build/bench/grown

Distinct base documents of 200 to 800 words are walks through the word bigrams of one language's texts: each next word
is one that follows the present word somewhere in them. Families of near-duplicates have power-law sizes; each member
but the first is the family's base with words replaced, at a rate drawn so that similarities to the base spread over .5
to 1. Passages of 60 to 200 words, some of them many times, stand inside a tenth of all documents, none of a family.

Document i is a function of the texts, the seed and i alone, and the members of a family lie scattered, so any part can
be written by itself and memory is bounded by a part (and 32 bytes a document for the plan). Writes below OUTPUT:

- `documents/part-00000.parquet` …: `id, text, url, language`, `PART_DOCUMENTS` rows each;
- `pairs.parquet`: `id_a, id_b, jaccard`, every pair of a family, with the exact similarity of their shingle sets;
- `passages.parquet`: `id, passage, start_word, n_words`, each planted passage (words split at white space).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from given import files_of
from stages.compiled import compiled
from stages.minhash import PRESETS, jaccard, shingle_sets
from stages.segment import mix64

PART_DOCUMENTS = 10_000
MIN_LANGUAGE_WORDS = 2_000
"""A language with fewer words is left out: its walks would repeat its texts."""
MIN_WORDS, MAX_WORDS = 200, 800
FAMILY_EXPONENT, MAX_FAMILY = 3.0, 100
"""P(size) falls as size^-3, which puts two documents of five into families."""
MIN_SIMILARITY = 0.5
PASSAGE_SHARE, PASSAGE_EXPONENT, DOCUMENTS_PER_PASSAGE = 0.1, 1.5, 40
MIN_PASSAGE_WORDS, MAX_PASSAGE_WORDS = 60, 200
SHINGLES = PRESETS["fineweb"]

_BASE, _EDIT, _PASSAGE, _ID, _ID_2 = (np.uint64(mix64(np.uint64(kind))) for kind in range(1, 6))
_STEP = np.uint64(0x9E3779B97F4A7C15)

Numbers = NDArray[np.int64]
Tokens = NDArray[np.int32]


class Grams(NamedTuple):
    """Bigrams of all languages.

    Token t of the texts is word tokens[t]; language l has tokens[languages[l]:languages[l + 1]] and words of its own.
    Word w is data[words[w]:words[w + 1]], a space at its end, and stands at tokens order[places[w]:places[w + 1]].
    """

    data: NDArray[np.uint8]
    words: Numbers
    tokens: Tokens
    languages: Numbers
    order: Tokens
    places: Numbers


class Plan(NamedTuple):
    """What each document is: its family; the similarity to the base it is edited for; its passage, or -1."""

    family: Numbers
    similarity: NDArray[np.float64]
    passage: Numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """A corpus that is not written yet."""

    names: Sequence[str]
    grams: Grams
    plan: Plan
    seed: int

    @property
    def n_documents(self) -> int:
        return len(self.plan.family)

    def table(self, numbers: Numbers) -> pa.Table:
        """Documents by their numbers: `id, text, url, language`."""
        data, offsets, _ = self._grow(numbers)
        languages = _languages(numbers, self.plan, self.grams, np.uint64(self.seed))
        text = pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(data))
        language = pa.array(np.array(self.names, object)[languages], pa.string())
        hosts = [f"https://{self.names[one]}.example.org" for one in languages]
        urls = [f"{host}/{self.seed}/{n}" for host, n in zip(hosts, numbers, strict=True)]
        return pa.table({"id": self.ids(numbers), "text": text.cast(pa.string()), "url": urls, "language": language})

    def ids(self, numbers: Numbers) -> pa.Array:
        """Ids in no order, 32 hexadecimal digits."""
        return pa.array([f"{_draw(self.seed, _ID, n):016x}{_draw(self.seed, _ID_2, n):016x}" for n in numbers])

    def pairs(self) -> Iterator[pa.Table]:
        """All pairs of documents of one family: `id_a, id_b, jaccard`."""
        by_family = np.argsort(self.plan.family, kind="stable")
        ends = np.cumsum(np.bincount(self.plan.family))
        cuts = np.searchsorted(ends, np.arange(PART_DOCUMENTS, self.n_documents, PART_DOCUMENTS))
        for part in np.split(by_family, ends[np.unique(cuts)]):
            sizes = np.bincount(self.plan.family[part])[self.plan.family[part]]
            yield self._pairs(part[sizes > 1])

    def _pairs(self, numbers: Numbers) -> pa.Table:
        table = self.table(numbers)
        a, b = _pairs_within(self.plan.family[numbers])
        similarity = _similarities(*shingle_sets(table["text"].combine_chunks(), SHINGLES), a, b)
        ids = table["id"].combine_chunks()
        return pa.table({"id_a": ids.take(pa.array(a)), "id_b": ids.take(pa.array(b)), "jaccard": similarity})

    def passages(self) -> pa.Table:
        """Where passages were planted: `id, passage, start_word, n_words`."""
        numbers = np.flatnonzero(self.plan.passage >= 0)
        places = [self._grow(part)[2] for part in _parts(numbers)]
        starts, lengths = np.concatenate([np.empty((0, 2), np.int64), *places]).T
        columns = {"id": self.ids(numbers), "passage": self.plan.passage[numbers]}
        return pa.table(columns | {"start_word": starts, "n_words": lengths})

    def _grow(self, numbers: Numbers) -> tuple[NDArray[np.uint8], Numbers, Numbers]:
        return _grow(numbers, self.plan, self.grams, np.uint64(self.seed))


def main() -> None:
    options = _options()
    corpus = corpus_of(options.input, options.documents, options.seed)
    print(json.dumps(write(corpus, options.output)))


def corpus_of(given: str, n_documents: int, seed: int = 0) -> Corpus:
    """A corpus grown from the texts that `given` names. Raises SystemExit where no language has enough of them."""
    names, grams = grams_of(read_texts(given))
    return Corpus(names=names, grams=grams, plan=plan_of(n_documents, seed), seed=seed)


def write(corpus: Corpus, folder: Path) -> dict[str, Any]:
    """Write documents, pairs and passages; return their numbers."""
    (folder / "documents").mkdir(parents=True)
    for i, numbers in enumerate(_parts(np.arange(corpus.n_documents))):
        pq.write_table(corpus.table(numbers), folder / "documents" / f"part-{i:05}.parquet", compression="zstd")
    n_pairs = _write_all(corpus.pairs(), folder / "pairs.parquet")
    n_passages = _write_all([corpus.passages()], folder / "passages.parquet")
    return {"documents": corpus.n_documents, "pairs": n_pairs, "passages": n_passages}


def read_texts(given: str) -> dict[str, list[str]]:
    """Texts by language: .jsonl (`text` or `gold`; `lang` or `language`), .tsv (text, language), .parquet files."""
    texts: dict[str, list[str]] = defaultdict(list)
    for path in files_of(given, (".jsonl", ".tsv", ".parquet")):
        for text, language in _rows(path):
            if text and language:
                texts[language].append(text)
    return dict(sorted(texts.items()))


def _rows(path: Path) -> Iterable[tuple[str | None, str | None]]:
    if path.suffix == ".tsv":
        lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
        return [(line[0], line[1]) for line in lines if len(line) == 2]
    if path.suffix == ".parquet":
        rows = pq.read_table(path, columns=["text", "language"]).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(row.get("text") or row.get("gold"), row.get("language") or row.get("lang")) for row in rows]


def grams_of(texts: dict[str, list[str]]) -> tuple[list[str], Grams]:
    """(languages, their bigrams); words are split at white space. Raises SystemExit where all have too few."""
    by_language = {name: [word for text in some for word in text.split()] for name, some in texts.items()}
    by_language = {name: words for name, words in by_language.items() if len(words) >= MIN_LANGUAGE_WORDS}
    if not by_language:
        raise SystemExit(f"--input: no language with {MIN_LANGUAGE_WORDS:,} words; name texts, such as novels")
    vocabulary: list[str] = []
    tokens = []
    for words in by_language.values():
        own, numbers = np.unique(np.array(words, object), return_inverse=True)
        tokens.append(numbers + len(vocabulary))
        vocabulary += own.tolist()
    spelt = [f"{word} ".encode() for word in vocabulary]
    of_all = np.concatenate(tokens).astype(np.int32)
    return list(by_language), Grams(
        data=np.frombuffer(b"".join(spelt), np.uint8),
        words=np.cumsum([0, *map(len, spelt)]),
        tokens=of_all,
        languages=np.cumsum([0, *map(len, tokens)]),
        order=np.argsort(of_all, kind="stable").astype(np.int32),
        places=np.concatenate([[0], np.cumsum(np.bincount(of_all))]),
    )


def plan_of(n_documents: int, seed: int) -> Plan:
    """Families of power-law sizes in no order; the earliest member of a family is its base as it is."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.zipf(FAMILY_EXPONENT, n_documents), MAX_FAMILY)
    family = np.repeat(np.arange(n_documents), sizes)[:n_documents]
    family = family[rng.permutation(n_documents)]
    similarity = rng.uniform(MIN_SIMILARITY, 1.0, n_documents)
    similarity[np.unique(family, return_index=True)[1]] = 1.0
    alone = np.bincount(family, minlength=n_documents)[family] == 1
    some = np.flatnonzero(alone & (rng.random(n_documents) < PASSAGE_SHARE / alone.mean()))
    passage = np.full(n_documents, -1)
    passage[some] = rng.zipf(PASSAGE_EXPONENT, len(some)) % max(n_documents // DOCUMENTS_PER_PASSAGE, 1)
    return Plan(family, similarity, passage)


def _parts(numbers: Numbers) -> list[Numbers]:
    return np.split(numbers, range(PART_DOCUMENTS, len(numbers), PART_DOCUMENTS))


def _write_all(tables: Iterable[pa.Table], path: Path) -> int:
    writer, n_rows = None, 0
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        n_rows += table.num_rows
    if writer:
        writer.close()
    return n_rows


def _pairs_within(family: Numbers) -> tuple[Numbers, Numbers]:
    """Positions (a, b), a < b, of equal families, which lie together."""
    starts = np.flatnonzero(np.concatenate([[True], family[1:] != family[:-1]])) if len(family) else np.empty(0, int)
    found = [np.empty((2, 0), np.int64)]
    for start, size in zip(starts, np.diff(np.append(starts, len(family))), strict=True):
        found.append(start + np.array(np.triu_indices(size, 1)))
    a, b = np.concatenate(found, axis=1)
    return a, b


@compiled
def _similarities(values: NDArray[np.uint64], offsets: Numbers, a: Numbers, b: Numbers) -> NDArray[np.float64]:
    out = np.empty(a.size)
    for i in range(a.size):
        out[i] = jaccard(values[offsets[a[i]] : offsets[a[i] + 1]], values[offsets[b[i]] : offsets[b[i] + 1]])
    return out


@compiled
def _draw(seed: int, kind: np.uint64, number: int) -> np.uint64:
    """A number of 64 bits for `number`, of one `kind`."""
    return mix64(mix64(np.uint64(seed) ^ kind) + _STEP * np.uint64(number))


@compiled
def _next(state: NDArray[np.uint64], n: int) -> int:
    """A number below n, by splitmix64; `state` moves on."""
    state[0] += _STEP
    return np.int64((mix64(state[0]) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32))


@compiled
def _language_of(grams: Grams, family: int, seed: int) -> int:
    """Language of a family: each is as frequent as the others."""
    return np.int64(_draw(seed, _BASE, family) % np.uint64(grams.languages.size - 1))


@compiled
def _languages(numbers: Numbers, plan: Plan, grams: Grams, seed: int) -> Numbers:
    out = np.empty(numbers.size, np.int64)
    for i in range(numbers.size):
        out[i] = _language_of(grams, plan.family[numbers[i]], seed)
    return out


@compiled
def _walk(grams: Grams, language: int, state: NDArray[np.uint64], out: Tokens) -> None:
    """Words that follow one another somewhere in the language's texts."""
    start, end = grams.languages[language], grams.languages[language + 1]
    at = start + _next(state, end - start)
    for i in range(out.size):
        word = grams.tokens[at]
        out[i] = word
        place = grams.places[word]
        at = np.int64(grams.order[place + _next(state, grams.places[word + 1] - place)]) + 1
        if at == end:
            at = start


@compiled
def _edit(grams: Grams, language: int, similarity: float, state: NDArray[np.uint64], words: Tokens) -> None:
    """Replace words: n single edits leave about (words - 5n) / (words + 5n) of five-word shingles in common."""
    start, end = grams.languages[language], grams.languages[language + 1]
    for _ in range(round(words.size * (1 - similarity) / (5 * (1 + similarity)))):
        words[_next(state, words.size)] = grams.tokens[start + _next(state, end - start)]


@compiled
def _grow(numbers: Numbers, plan: Plan, grams: Grams, seed: int) -> tuple[NDArray[np.uint8], Numbers, Numbers]:
    """(UTF-8, offsets, (first word, words) of the passage in each, 0 words where it has none) of documents."""
    room = numbers.size * (MAX_WORDS + MAX_PASSAGE_WORDS)
    tokens, ends = np.empty(room, np.int32), np.zeros(numbers.size + 1, np.int64)
    planted = np.zeros((numbers.size, 2), np.int64)
    state = np.zeros(1, np.uint64)
    for i in range(numbers.size):
        number = numbers[i]
        family, passage = plan.family[number], plan.passage[number]
        language = _language_of(grams, family, seed)
        state[0] = _draw(seed, _BASE, family)
        document = tokens[ends[i] : ends[i] + MIN_WORDS + _next(state, MAX_WORDS - MIN_WORDS)]
        _walk(grams, language, state, document)
        state[0] = _draw(seed, _EDIT, number)
        _edit(grams, language, plan.similarity[number], state, document)
        ends[i + 1] = ends[i] + document.size
        if passage >= 0:
            at = _next(state, document.size)
            state[0] = _draw(seed, _PASSAGE, passage)
            n_words = MIN_PASSAGE_WORDS + _next(state, MAX_PASSAGE_WORDS - MIN_PASSAGE_WORDS)
            rest = document[at:].copy()
            tokens[ends[i + 1] - rest.size + n_words : ends[i + 1] + n_words] = rest
            # A passage has one language, wherever it stands.
            inserted = tokens[ends[i] + at : ends[i] + at + n_words]
            _walk(grams, _language_of(grams, passage, seed), state, inserted)
            planted[i, 0], planted[i, 1] = at, n_words
            ends[i + 1] += n_words
    data, offsets = _spelt(tokens, ends, grams)
    return data, offsets, planted


@compiled
def _spelt(tokens: Tokens, ends: Numbers, grams: Grams) -> tuple[NDArray[np.uint8], Numbers]:
    """Words as UTF-8 with one space between them."""
    n_bytes = 0
    for word in tokens[: ends[-1]]:
        n_bytes += grams.words[word + 1] - grams.words[word]
    data, offsets, n = np.empty(n_bytes, np.uint8), np.zeros(ends.size, np.int64), 0
    for i in range(ends.size - 1):
        for word in tokens[ends[i] : ends[i + 1]]:
            for k in range(grams.words[word], grams.words[word + 1]):
                data[n] = grams.data[k]
                n += 1
        n -= 1  # no space after the last word
        offsets[i + 1] = n
    return data[:n], offsets


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="a folder that does not exist")
    return parser.parse_args()


if __name__ == "__main__":
    main()
