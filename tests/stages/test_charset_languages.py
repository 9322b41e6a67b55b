"""Each language in each of its legacy encodings, told in each of four ways: mark, header, `<meta>`, and not at all."""

import codecs
import re

import pytest

from stages.charset import decode

SENTENCES = {
    "en": "Zoë’s naïve fiancé ordered a soufflé – “à la carte” – for £12 at the café in Brontë Street…",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy; „šest švestek“, řekl dědeček, leželo na talíři – a přišel déšť.",
    "de": "Während der Übung hörte Jürgen ein Geräusch: „Größere Füße wären schöner“, sagte die Ältere – süß, müde.",
    "es": "El niño pequeño soñó con una montaña; mañana volverá a España, ¿verdad? «¡Qué corazón!», gritó Íñigo.",
    "fr": "L’été passé, Étienne a mangé des crêpes à la crème brûlée, là où naît la rivière ; c’était « très cher ».",
    "it": "Perché la città è così bella? “Più tardi verrà anche papà”, disse, e ciò farà felicità – però già si sa.",
    "nl": "De officiële reünie van geïnteresseerde patiënten en zeeën van ideeën – ‘één café’, zei coördinator Zoë.",
    "pl": "Zażółć gęślą jaźń; „wydał książkę”, którą później przeczytał każdy święty mąż – a źródło wciąż płynęło.",
    "pt": "A nação não esqueceu as canções do sertão; à tarde, três irmãos comem pães, maçãs e limões – “bom”, diz Zé.",
    "ro": "Și parcă țara aceasta își așteaptă în tăcere cântăreții; „fără să știe”, spuse bătrânul, că soarele răsări.",
    "sv": "Förändringen gör att människor på ön går över ån till ängen; ”åtta får betar där”, sade Åsa, sjön är blå.",
}
CENTRAL = {"cs", "pl", "ro"}
DETECTED = {"iso-8859-1", "iso-8859-15", "windows-1252", "iso-8859-2", "windows-1250", "iso-8859-16"}
"""The others, of DOS and the Mac, are read where they are declared."""
PYTHON = {"macintosh": "mac_roman", "x-mac-ce": "mac_latin2", "ibm852": "cp852", "ibm850": "cp850"}

# What an author wrote whose character set lacks a sign: the typewriter's quotes and dashes, and the cedilla.
_WITHOUT = [
    str.maketrans("șțȘȚ", "şţŞŢ"),
    str.maketrans(
        {"‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "…": "..."}
    ),
    str.maketrans({"€": "EUR", "œ": "oe", "Œ": "Oe"}),
]
_ONE_LETTER = str.maketrans("şţŞŢ", "șțȘȚ")  # the same bytes in ISO-8859-2 and -16


def charsets(language):
    if language in CENTRAL:
        also = {"cs": ["x-mac-ce"], "pl": ["x-mac-ce", "iso-8859-16"], "ro": ["iso-8859-16"]}
        return ["iso-8859-2", "windows-1250", "cp852", "ibm852", *also[language]]
    return ["iso-8859-1", "iso-8859-15", "windows-1252", "macintosh", "cp850", "ibm850"]


LEGACY = [(language, charset) for language in SENTENCES for charset in charsets(language)]


def as_written(text, charset):
    """The text as its author could write it in this character set."""
    codec = PYTHON.get(charset, charset)
    for change in (None, *_WITHOUT):
        text = text.translate(change) if change else text
        try:
            text.encode(codec)
        except UnicodeEncodeError:
            continue
        return text
    raise AssertionError(f"{charset} lacks a letter of {text!r}")


def page(text, charset, head=""):
    return f"{head}<html><body><p>{text}</p></body></html>".encode(PYTHON.get(charset, charset))


def texts_of(repository, language):
    sections = re.split(r"(?m)^# ", (repository / "examples" / "pages" / f"{language}.md").read_text(encoding="utf-8"))
    return [" ".join(part.strip() for part in section.split("\n\n")) for section in sections[1:]]


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("declared", ["", "utf-8", "windows-1251", "iso-8859-1"])
@pytest.mark.parametrize(
    ("charset", "mark"),
    [("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", codecs.BOM_UTF16_BE)],
)
def test_by_mark(language, charset, mark, declared):
    text = SENTENCES[language]
    found = decode(mark + page(text, charset, f'<meta charset="{declared}">'), declared)
    assert text in found.text
    assert (found.charset, found.how) == (charset, "bom")


@pytest.mark.parametrize(("language", "charset"), LEGACY)
def test_by_header(language, charset):
    text = as_written(SENTENCES[language], charset)
    found = decode(page(text, charset), charset)
    assert text in found.text
    assert found.how == "http"
    assert text in decode(page(text, charset, '<meta charset="windows-1251">'), charset.upper()).text


@pytest.mark.parametrize(
    "form",
    [
        '<meta charset="{}">',
        "<META http-equiv='Content-Type' content='text/html; charset={}'>",
        '<?xml version="1.0" encoding="{}"?>',
    ],
)
@pytest.mark.parametrize(("language", "charset"), LEGACY)
def test_by_meta(language, charset, form):
    text = as_written(SENTENCES[language], charset)
    found = decode(page(text, charset, form.format(charset)), "")
    assert text in found.text
    assert found.how == "meta"


@pytest.mark.parametrize(("language", "charset"), [pair for pair in LEGACY if pair[1] in DETECTED])
def test_by_detection_whole_pages_are_right(repository, language, charset):
    """Every text of the sample; ş and ș, the same bytes in two sets, count as one letter."""
    for text in texts_of(repository, language):
        written = as_written(text, charset)
        assert written.translate(_ONE_LETTER) in decode(page(written, charset), "").text.translate(_ONE_LETTER)


@pytest.mark.parametrize(("language", "charset"), [pair for pair in LEGACY if pair[1] in DETECTED])
def test_by_detection_single_sentences_are_mostly_right(repository, language, charset):
    """Of sentences of 40 characters and more: all in seven languages, 97 % in pt and cs, 95 % in the worst, French."""
    sentences = [part for text in texts_of(repository, language) for part in re.split(r"(?<=[.!?]) ", text)]
    written = [as_written(sentence, charset) for sentence in sentences if len(sentence) > 40]
    right = sum(
        sentence.translate(_ONE_LETTER) in decode(page(sentence, charset), "").text.translate(_ONE_LETTER)
        for sentence in written
    )
    assert len(written) > 60
    assert right >= len(written) * {"fr": 0.95, "cs": 0.97, "pl": 0.98, "pt": 0.98}.get(language, 1)


@pytest.mark.parametrize(("language", "charset"), [pair for pair in LEGACY if pair[1] not in DETECTED])
def test_sets_of_dos_and_the_mac_are_not_detected(repository, language, charset):
    """Taking such a set for one would cost more pages of the usual ones than it would save."""
    text = as_written(texts_of(repository, language)[0], charset)
    assert decode(page(text, charset), "").charset not in PYTHON.values()


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("told", ["header", "meta", "not at all", "header, falsely", "meta, falsely"])
def test_utf8(language, told):
    text = SENTENCES[language]
    false = "iso-8859-2" if language in CENTRAL else "iso-8859-1"
    header = {"header": "utf-8", "header, falsely": false}.get(told, "")
    meta = {"meta": "utf-8", "meta, falsely": false}.get(told, "")
    assert text in decode(page(text, "utf-8", f'<meta charset="{meta}">' if meta else ""), header).text


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_shows_by_its_zeros(language, charset):
    found = decode(page(SENTENCES[language], charset), "utf-8")
    assert SENTENCES[language] in found.text
    assert found.how == "nul_bytes"


LATIN_9 = "Le cœur de la sœur de Noël : un œuf coûte 3 € et un bœuf entier 900€. "


def test_latin_9_is_told_from_latin_1_by_what_the_latter_lacks():
    found = decode(page(LATIN_9, "iso-8859-15"), "")
    assert LATIN_9 in found.text
    assert (found.charset, found.how) == ("iso8859-15", "detected")


@pytest.mark.parametrize(
    "text", ["2½ Tassen Öl, 3¼ für später - so geht´s, Jürgen.", "¤ Accueil ¤ Contacter ¤ Été ¤", "n°5½ à 3 ½ h"]
)
def test_signs_of_latin_1_do_not_make_latin_9(text):
    assert text in decode(page(text * 3, "iso-8859-1"), "").text
