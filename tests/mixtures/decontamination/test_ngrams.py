import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.decontamination import ngrams
from mixtures.decontamination.ngrams import NgramIndex, find_ngrams, index_ngrams
from mixtures.decontamination.plain_words import split_words

Found = list[list[tuple[int, str, int, int]]]
"""For each document: first word, n-gram, first item, number of items."""


def searched(items: list[str], documents: list[str], n: int, least: int) -> Found:
    index = index_ngrams(items, range(len(items)), n, least)
    words = split_words(documents)
    hits = find_ngrams(index, words)
    found: Found = []
    for document in range(len(documents)):
        places = range(hits.hit_at[document], hits.hit_at[document + 1])
        base = words.text_at[document]
        found.append([(int(hits.word[i] - base), *described(index, int(hits.ngram[i]))) for i in places])
    return found


def described(index: NgramIndex, ngram: int) -> tuple[str, int, int]:
    return index.text(ngram), int(index.item[ngram]), int(index.items[ngram])


def oracle(items: list[str], documents: list[str], n: int, least: int) -> Found:
    having: dict[tuple[str, ...], list[int]] = {}
    for number, item in enumerate(items):
        words = item.split()
        length = min(n, len(words))
        if length < least:
            continue
        for first in range(len(words) - length + 1):
            of = having.setdefault(tuple(words[first : first + length]), [])
            if number not in of:
                of.append(number)
    return [
        [
            (first, " ".join(longest), having[longest][0], len(having[longest]))
            for first in range(len(words))
            if (longest := max((g for g in having if tuple(words[first : first + len(g)]) == g), key=len, default=None))
        ]
        for words in map(str.split, documents)
    ]


texts = st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=5)


@given(texts, texts, st.integers(1, 5), st.integers(1, 5))
@settings(deadline=None, max_examples=300)
def test_what_is_found_is_what_the_plain_rule_finds(items: list[str], documents: list[str], n: int, less: int) -> None:
    least = max(1, n - less)
    assert searched(items, documents, n, least) == oracle(items, documents, n, least)


def test_twelve_words_of_thirteen_are_not_found() -> None:
    words = [f"w{i}" for i in range(13)]
    whole, front, back = " ".join(words), " ".join(words[:12]), " ".join(words[1:])
    documents = [whole, front, back, f"{front} x {words[12]}", f"x {whole}", f"{whole} x", f"{whole} {whole}"]
    hits = [[first for first, *_ in found] for found in searched([whole], documents, 13, 8)]
    assert hits == [[0], [], [], [], [1], [0], [0, 13]]


def test_items_shorter_than_n_are_one_ngram_down_to_the_least() -> None:
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    items = [" ".join(words), " ".join(words[:7])]
    assert searched(items, [" ".join(words), " ".join(words[:7]), "x a b c d e f g h i"], 13, 8) == [
        [(0, "a b c d e f g h", 0, 1)],
        [],
        [(1, "a b c d e f g h", 0, 1)],
    ]


def test_a_boundary_between_words_is_part_of_an_ngram() -> None:
    assert searched(["ab c"], ["a bc", "abc", "ab c"], 2, 2) == [[], [], [(0, "ab c", 0, 1)]]


def test_words_of_equal_hashes_are_told_apart() -> None:
    """All hashes made equal: what is found is decided by the letters."""
    items, documents = ["a b c", "d e f"], ["a b c", "d e f", "a b f", "x d e f"]
    index = index_ngrams(items, [0, 1], 3, 3)
    same = NgramIndex(**{**vars(index), **_rehashed(index)})
    words = split_words(documents)
    blind = type(words)(**{**vars(words), "hashes": np.zeros_like(words.hashes)})
    hits = find_ngrams(same, blind)
    assert hits.hit_at.tolist() == [0, 1, 2, 2, 3]
    assert [same.text(int(ngram)) for ngram in hits.ngram] == ["a b c", "d e f", "d e f"]


def _rehashed(index: NgramIndex) -> dict[str, object]:
    """The table of an index whose words all have the hash 0."""
    n = len(index.words.hashes)
    slots, keys = np.full(len(index.slots), -1, np.int32), np.zeros(len(index.slots), np.uint64)
    kept, last, count = np.empty(2, np.int64), np.empty(2, np.int64), np.empty(2, np.int64)
    words = index.words
    found = ngrams._insert(
        np.zeros(n, np.uint64),
        words.letters,
        words.letter_at,
        index.word,
        index.length,
        index.item,
        slots,
        keys,
        kept,
        last,
        count,
    )
    assert found == 2 and len(set(keys[slots >= 0].tolist())) == 1
    return {"slots": slots, "keys": keys, "sieve": ngrams._sieve(keys[slots >= 0])}


def test_nothing_to_look_for_and_nothing_to_look_in() -> None:
    assert searched([], ["a b"], 2, 1) == [[]]
    assert searched(["a b"], [], 2, 1) == []
    assert searched(["a b"], ["", "a"], 2, 2) == [[], []]
