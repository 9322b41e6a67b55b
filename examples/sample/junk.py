"""Pages that a filter is there to drop: spam, gibberish, repetition, lists, shouting, almost nothing; one by wish."""

import random
from collections.abc import Iterable, Iterator
from html import escape

from sample.captures import Capture, Library
from sample.pages import Layout, paragraphs_html
from sample.texts import Text

SPAM_KEYWORDS = {
    "en": ("cheap watches", "buy cheap watches online", "best price watches", "discount watches free shipping"),
    "de": ("günstige Uhren", "Uhren günstig kaufen", "Uhren bester Preis", "Uhren Rabatt kostenloser Versand"),
    "es": ("relojes baratos", "comprar relojes baratos", "relojes mejor precio", "relojes oferta envío gratis"),
    "pl": ("tanie zegarki", "kup tanie zegarki", "zegarki najlepsza cena", "zegarki promocja darmowa dostawa"),
}
REPEATED_LINES = {
    "en": (
        "Please enable JavaScript in your browser to view the rest of this page.",
        "The page that you are looking for could not be loaded, so we try it again.",
    ),
    "fr": (
        "Veuillez activer JavaScript dans votre navigateur pour afficher la suite de cette page.",
        "La page que vous cherchez n'a pas pu être chargée, et nous allons essayer encore.",
    ),
    "it": (
        "Per visualizzare il resto della pagina è necessario attivare JavaScript nel browser.",
        "La pagina che state cercando non può essere caricata, quindi proviamo di nuovo.",
    ),
}
CHECKLIST = (
    "two woollen blankets and the big pillow from the guest room",
    "a torch with fresh batteries, and a candle in case it fails",
    "the small stove, matches in a tin, and enough gas for four days",
    "rope for the washing line, with a dozen wooden pegs",
    "soap, towels, and the tooth brushes that we forgot last year",
    "a pocket knife for bread, cheese and string",
    "plasters and the ointment against mosquito bites",
    "rubber boots for everyone, even if the forecast is good",
    "a map on paper, because there is no signal behind the hill",
    "the blue water can and a funnel",
    "playing cards, a ball, and something to read aloud",
    "rain jackets at the top of the bag and not at the bottom",
)
PRICE_LISTS = {
    "nl": ("Zeskantbout", "Vleugelmoer", "Koperen buis", "Kogelkraan", "Slangklem", "Houtschroef", "Plug", "Scharnier"),
    "cs": ("Šroub", "Matice", "Měděná trubka", "Kulový ventil", "Spona", "Vrut do dřeva", "Hmoždinka", "Pant"),
}
HASHTAGS = (
    "Back at the #harbour with my #sister and her #dog, and the #light was just perfect",
    "This is how the #kitchen looked after we had made #jam from all of the #plums",
    "New #shoes for the long #walk on Sunday, so let us hope that they do not #hurt",
    "Look at the #moon over the old #mill, taken from the window of the #train",
    "The first #snow of the year, and of course nobody could find the #gloves",
    "Who else drinks #tea in the #garden when it is this #cold outside",
    "That is the #bicycle which my #grandfather rode to school, and it still has the same #bell",
)
SHOUTING = {
    "en": "DON'T MISS IT!!! ### THE BIG SALE STARTS TODAY >>> EVERYTHING MUST GO *** CALL NOW !!! $$$",
    "pt": "NÃO PERCA!!! ### A GRANDE PROMOÇÃO COMEÇA HOJE >>> TUDO TEM DE SAIR *** LIGUE JÁ !!! $$$",
    "sv": "MISSA INTE!!! ### DEN STORA REAN BÖRJAR IDAG >>> ALLT SKA BORT *** RING NU !!! $$$",
}
TINY = {
    "en": "This page has moved. Please update your bookmarks.",
    "de": "Diese Seite befindet sich im Aufbau. Bitte schauen Sie später noch einmal vorbei.",
    "es": "El producto que busca ya no está disponible.",
    "ro": "Pagina este în construcție. Vă rugăm să reveniți mai târziu.",
    "it": "Nessun risultato trovato per la ricerca.",
}
SYLLABLES = ("lo", "rem", "ip", "sum", "do", "lor", "sit", "am", "et", "con", "sec", "te", "tur", "vex", "quo", "zim")


def spam(library: Library) -> Iterator[Capture]:
    """Keyword stuffing: four phrases, over and over."""
    for lang, phrases in SPAM_KEYWORDS.items():
        rng = random.Random(f"spam {lang}")
        paragraphs = tuple(", ".join(rng.choices(phrases, k=30)) + "." for _ in range(4))
        yield _page(library, "spam", lang, phrases[0], "".join(f"<p>{escape(text)}</p>" for text in paragraphs))


def gibberish(library: Library) -> Iterator[Capture]:
    """Filler in no language at all, made of random syllables."""
    for i in range(3):
        rng = random.Random(f"gibberish {i}")
        words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(180)]
        sentences = (" ".join(words[j : j + 9]).capitalize() + "." for j in range(0, len(words), 9))
        yield _page(library, "gibberish", None, f"Draft {i + 1}", "".join(f"<p>{line}</p>" for line in sentences))


def repeated_lines(library: Library) -> Iterator[Capture]:
    """Two lines by turns, thirty times each."""
    for lang, lines in REPEATED_LINES.items():
        yield _page(library, "repeated_lines", lang, _title(lines[0]), "<br>\n".join(map(escape, lines * 30)))


def list_only(library: Library) -> Iterator[Capture]:
    """A packing list, and shops' price lists: items, no sentence."""
    yield _page(library, "list_only", "en", "Things to pack", _list(CHECKLIST))
    for lang, names in PRICE_LISTS.items():
        items = (f"{names[i % len(names)]} {i + 4} mm – {i % 7 + 1},{i * 37 % 90 + 10} €" for i in range(60))
        yield _page(library, "list_only", lang, names[0], _list(items))


def hashtags(library: Library) -> Iterator[Capture]:
    """Captions of a picture feed, with a sign before every other noun."""
    article = "".join(f"<p>{escape(caption)}</p>" for caption in HASHTAGS)
    yield _page(library, "hashtags", "en", "My pictures", article)


def shouting(library: Library) -> Iterator[Capture]:
    """Capitals and symbols instead of sentences."""
    for lang, cry in SHOUTING.items():
        lines = (f"<p>{escape(cry)} {i * 13 % 97}% {'#' * (i % 5 + 3)}</p>" for i in range(15))
        yield _page(library, "shouting", lang, _title(cry), "\n".join(lines))


def tiny(library: Library) -> Iterator[Capture]:
    """Pages with one or two sentences on them."""
    for lang, sentence in TINY.items():
        yield _page(library, "tiny", lang, _title(sentence), f"<p>{escape(sentence)}</p>")


def bare(library: Library) -> Iterator[Capture]:
    """Pages without menu or footer: almost nothing, and a text that is foreign as a whole."""
    sentence = "Back soon. The workshop is closed for the summer."
    yield _bare("bare_tiny", "en", f"<p>{sentence}</p>")
    (foreign, *_) = library.texts["ru"]
    yield _bare("bare_foreign", "ru", paragraphs_html(foreign))


def no_content(_: Library) -> Iterator[Capture]:
    """A search form: many words to choose from, none to read."""
    options = "".join(f"<option>{escape(item)}</option>" for item in CHECKLIST)
    yield _bare("no_content", "en", f"<form><select>{options}</select><button>Search</button></form>")


def furniture(library: Library) -> Iterator[Capture]:
    """A good text under a heap of what belongs to the page and not to the text."""
    text = library.texts["en"][1]
    lines = ("SUBSCRIBE TO OUR WEEKLY LETTER NOW", "READ ALL OF OUR STORIES FROM THE VALLEY", "1024", "12 likes") * 3
    article = paragraphs_html(text) + "".join(f"<p>{line} {i}</p>" for i, line in enumerate(lines))
    yield _page(library, "furniture", "en", text.title, article)


def opted_out(library: Library) -> Iterator[Capture]:
    """A good text whose author does not want it used."""
    text = library.texts["en"][2]
    yield _bare("opted_out", "en", paragraphs_html(text), head='<meta name="robots" content="noai, noimageai">')


def _bare(kind: str, lang: str, article: str, head: str = "") -> Capture:
    html = f"<!doctype html><html lang={lang}><head><title>{kind}</title>{head}</head><body>{article}</body></html>"
    return Capture(kind=kind, url=f"https://{kind.replace('_', '-')}.example/", body=html.encode(), lang=lang)


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _title(line: str) -> str:
    return " ".join(line.split()[:4])


def _page(library: Library, kind: str, lang: str | None, title: str, article: str) -> Capture:
    """A page without an original text, on a host named after its kind."""
    text = Text(name=kind, lang=lang or "en", title=title, paragraphs=())
    layout = Layout(template="news", host=f"{kind.replace('_', '-')}.example")
    url = f"https://{layout.host}/{lang or 'x'}/{text.slug}"
    return Capture(kind=kind, url=url, body=library.publisher.wrap(text, article, layout).encode(), lang=lang)
