"""Words for datatrove's filters split as falconmix splits them; its own `WhitespaceTokenizer` asks spaCy's `xx`."""

from __future__ import annotations

from datatrove.utils.word_tokenizers import WordTokenizer


class SpacedWords(WordTokenizer):
    """Runs of characters other than white space."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        raise NotImplementedError("the Gopher filters ask for words only")

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError("the Gopher filters ask for words only")
