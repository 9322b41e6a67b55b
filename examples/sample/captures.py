"""What the sample crawl found, in order: the recipes of all captures.

A recipe is a function that yields captures. The kinds are the vocabulary of `captures.json`: tests and readers look
pages up by them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sample.pages import TEMPLATE_NAMES, Layout, Publisher
from sample.texts import LANGUAGES, UNWANTED_LANGUAGES, Text, edited, excerpt, load_texts, with_passage

HTML = "text/html; charset=UTF-8"

# Texts with a task of their own get no plain page, so that each is published once: the places in a language's file.
PASSAGE_PLACES = {"en": (5, 6, 7), "de": (5, 6, 7), "fr": (5, 6, 7)}
CHARSET_PLACES = {"cs": (7,), "es": (7,), "pl": (7,), "ro": (7,), "sv": (7,)}
TRANSFER_PLACES = {"en": (8, 9)}


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One fetch of one URL as the crawler stored it.

    `body` holds the bytes as they were sent, transfer and content codings included. `source` names the original text.
    A `revisit_of` makes the capture a revisit record of that URL's first capture, without a body. `truncated` is the
    value of WARC-Truncated; `damaged` has the response's gzip member spoilt after it is written.
    """

    kind: str
    url: str
    body: bytes
    lang: str | None = None
    source: str | None = None
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = (("Content-Type", HTML),)
    revisit_of: str | None = None
    truncated: str | None = None
    damaged: bool = False


@dataclass(frozen=True, kw_only=True)
class Library:
    """What the recipes draw from: texts by language, shared passages by language, and the publisher of pages."""

    texts: dict[str, list[Text]]
    passages: dict[str, str]
    publisher: Publisher = field(repr=False)

    @classmethod
    def load(cls, examples: Path) -> "Library":
        """Read the library from the folder `examples`."""
        pages = examples / "pages"
        paths = [pages / f"{lang}.md" for lang in LANGUAGES]
        paths += [pages / "unwanted" / f"{lang}.md" for lang in UNWANTED_LANGUAGES]
        return cls(
            texts={path.stem: load_texts(path) for path in paths},
            passages={entry.title: entry.paragraphs[0] for entry in load_texts(pages / "passages.md")},
            publisher=Publisher(examples / "sample"),
        )

    def layout(self, text: Text, host: str | None = None) -> Layout:
        """The usual layout of a text: templates take turns, the sidebar names the language's first texts."""
        place = int(text.name.split("/")[1])
        popular = tuple(other.title for other in self.texts[text.lang][:4] if other.name != text.name)
        return Layout(template=TEMPLATE_NAMES[place % len(TEMPLATE_NAMES)], host=host, popular=popular)

    def capture(self, kind: str, text: Text, layout: Layout | None = None) -> Capture:
        """An ordinary UTF-8 page of a text."""
        layout = layout or self.layout(text)
        return Capture(
            kind=kind,
            url=self.publisher.url(text, layout),
            body=self.publisher.publish(text, layout).encode(),
            lang=text.lang,
            source=text.name,
        )


def articles(library: Library) -> Iterator[Capture]:
    """Each text that has no other task, once, on a page of its own."""
    for lang in LANGUAGES:
        taken = {i for places in (PASSAGE_PLACES, CHARSET_PLACES, TRANSFER_PLACES) for i in places.get(lang, ())}
        for i, text in enumerate(library.texts[lang]):
            if i not in taken:
                yield library.capture("article", text)


def shared_passages(library: Library) -> Iterator[Capture]:
    """Different texts that carry the same passage of more than sixty words."""
    for lang, places in PASSAGE_PLACES.items():
        for i in places:
            yield library.capture("shared_passage", with_passage(library.texts[lang][i], library.passages[lang]))


def exact_copies(library: Library) -> Iterator[Capture]:
    """The same bytes under the URL of a mirror."""
    for lang in LANGUAGES:
        original = library.capture("exact_copy", library.texts[lang][4])
        host = original.url.split("/")[2]
        yield Capture(
            kind="exact_copy",
            url=original.url.replace(host, f"mirror.{host}"),
            body=original.body,
            lang=lang,
            source=original.source,
        )


def recaptures(library: Library) -> Iterator[Capture]:
    """The same URL fetched a second time: once unchanged, once with another sidebar, by turns."""
    for i, lang in enumerate(("it", "nl", "pl", "pt", "ro", "sv")):
        text = library.texts[lang][5]
        usual = library.layout(text)
        later = Layout(template=usual.template, popular=tuple(reversed(usual.popular)))
        yield library.capture("recapture", text, usual if i % 2 else later)


def near_copies(library: Library) -> Iterator[Capture]:
    """Texts with 2 and with 5 percent of their words replaced, on other sites and in other templates."""
    for lang in LANGUAGES:
        for place, rate, template in ((0, 0.02, "news"), (1, 0.05, "magazine")):
            copy = edited(library.texts[lang][place], rate)
            yield library.capture("near_copy", copy, Layout(template=template, host=f"articles-{lang}.example"))


def far_copies(library: Library) -> Iterator[Capture]:
    """Texts with 40 percent of their words replaced: no longer near-duplicates by any sensible threshold."""
    for lang in ("en", "de", "es", "fr"):
        copy = edited(library.texts[lang][2], 0.4)
        yield library.capture("far_copy", copy, Layout(template="plain", host=f"rewritten-{lang}.example"))


def excerpts(library: Library) -> Iterator[Capture]:
    """Texts without their last paragraph, as digests and feeds print them."""
    for lang in LANGUAGES:
        layout = Layout(template="blog", host=f"digest-{lang}.example")
        yield library.capture("excerpt", excerpt(library.texts[lang][3]), layout)
