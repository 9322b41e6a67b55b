"""The original texts, and the ways in which the web copies a text: cut, edited, stripped of its diacritics."""

import random
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

LANGUAGES = ("en", "cs", "de", "es", "fr", "it", "nl", "pl", "pt", "ro", "sv")
UNWANTED_LANGUAGES = ("ru", "zh", "el", "hu")

# Letters that Unicode does not decompose into a base letter and a mark.
_UNDECOMPOSED = str.maketrans({"ł": "l", "Ł": "L", "ß": "ss", "ø": "o", "đ": "d"})


@dataclass(frozen=True, kw_only=True)
class Text:
    """One original text; `name` is its language and place in the file, such as `en/3`."""

    name: str
    lang: str
    title: str
    paragraphs: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The title as it stands in a URL."""
        return slug(self.title)

    @property
    def n_words(self) -> int:
        """Whitespace-separated words of the paragraphs, the title left out."""
        return sum(len(paragraph.split()) for paragraph in self.paragraphs)


def load_texts(path: Path) -> list[Text]:
    """Read the texts of one file: `# Title` starts a text, an empty line ends a paragraph.

    Raises ValueError where a title has no text under it.
    """
    lang = path.stem
    texts = []
    for i, section in enumerate(re.split(r"(?m)^# ", path.read_text(encoding="utf-8"))[1:]):
        title, *paragraphs = (part.strip() for part in section.strip().split("\n\n"))
        if not paragraphs:
            raise ValueError(f"{path}: the title {title!r} has no text under it; write a paragraph or delete the title")
        texts.append(Text(name=f"{lang}/{i}", lang=lang, title=title, paragraphs=tuple(paragraphs)))
    return texts


def fold(string: str) -> str:
    """The string without its diacritics, as it is typed on a keyboard that lacks them."""
    decomposed = unicodedata.normalize("NFKD", string.translate(_UNDECOMPOSED))
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def slug(title: str) -> str:
    """The title as a path segment: ASCII where the script allows, percent-encoded where not."""
    return quote("-".join(re.findall(r"\w+", fold(title).lower())))


def without_diacritics(text: Text) -> Text:
    """The text as many people write it online: every letter without its marks."""
    return replace(text, title=fold(text.title), paragraphs=tuple(fold(paragraph) for paragraph in text.paragraphs))


def excerpt(text: Text) -> Text:
    """All paragraphs but the last."""
    return replace(text, paragraphs=text.paragraphs[:-1])


def with_passage(text: Text, passage: str) -> Text:
    """The text with a passage inserted before its last paragraph."""
    return replace(text, paragraphs=(*text.paragraphs[:-1], passage, text.paragraphs[-1]))


def edited(text: Text, rate: float) -> Text:
    """A copy in which a share `rate` of the words is replaced by other words of the same text.

    The choice depends on the text's name and the rate alone.
    """
    rng = random.Random(f"{text.name} {rate}")
    words = [paragraph.split() for paragraph in text.paragraphs]
    vocabulary = sorted({word for paragraph in words for word in paragraph})
    places = [(i, j) for i, paragraph in enumerate(words) for j in range(len(paragraph))]
    for i, j in rng.sample(places, round(rate * len(places))):
        words[i][j] = rng.choice([word for word in vocabulary if word != words[i][j]])
    return replace(text, paragraphs=tuple(" ".join(paragraph) for paragraph in words))
