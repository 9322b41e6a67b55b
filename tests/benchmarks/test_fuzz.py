import random
from collections import Counter

from benchmarks import fuzz

PAGES = [b"<html><body><p>" + b"A sentence of a page, and then another one. " * 40 + b"</p></body></html>", b"<p>short"]


def test_the_same_seed_gives_the_same_pages_and_every_mutation_is_met():
    def pages():
        seen = Counter()
        return [fuzz._mutated(random.Random(f"0 {i}"), PAGES, 500, seen) for i in range(300)], seen

    assert pages() == pages()
    made, seen = pages()
    assert set(seen) == {*fuzz.MUTATIONS, "header"}
    assert len({body for _, body in made}) > 250
    assert max(len(body) for _, body in made) <= 4 * 500


def test_each_page_is_read_and_decided():
    figures = fuzz.fuzz(PAGES, 40, 500, 1)
    assert figures["read"] == figures["decided"] == figures["pages"] == 40
    assert figures["crashes"] == figures["damaged"] == 0
    assert figures["errors"] == {}
