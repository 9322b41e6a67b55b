import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from stages.charset import codec_of, declared_in_meta, decode

CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy, vážený čtenáři; šest švestek leželo na talíři, když přišel déšť. "
GERMAN = "Während der Übung hörten wir ein Geräusch; die größeren Mädchen fürchteten sich, die Älteren lachten. "
FRENCH = "L’été dernier, Étienne a mangé des crêpes à la crème brûlée, là où naît la rivière ; ça coûte 3 €. "
SPANISH = "El niño pequeño soñó con una montaña; mañana volverá a España, ¿verdad? ¡Qué corazón, qué ilusión! "
ITALIAN = "Perché la città è così bella? Più tardi verrà anche papà, e ciò farà felicità in libertà, però già si sa. "
DUTCH = "De officiële reünie van de geïnteresseerde patiënten en zeeën van ideeën, coördinatie; één café. "
POLISH = "Zażółć gęślą jaźń; wydał książkę, którą później przeczytał każdy święty mąż, a źródło wciąż płynęło. "
PORTUGUESE = "A nação não esqueceu as canções do sertão; à tarde, três irmãos comiam pães, maçãs e limões no chão. "
ROMANIAN = "Și parcă țara aceasta își așteaptă în tăcere cântăreții și oamenii ei, fără să știe. "
SWEDISH = "Förändringen gör att människor på ön går över ån till ängen; åtta får betar där, och sjön är blå. "

LEGACY = [
    (CZECH, "iso-8859-2"),
    (CZECH, "windows-1250"),
    (GERMAN, "iso-8859-1"),
    (GERMAN, "windows-1252"),
    (GERMAN, "iso-8859-15"),
    (FRENCH, "windows-1252"),
    (FRENCH.replace("’", "'"), "iso-8859-15"),
    (SPANISH, "iso-8859-1"),
    (SPANISH, "windows-1252"),
    (ITALIAN, "windows-1252"),
    (DUTCH, "windows-1252"),
    (DUTCH, "iso-8859-15"),
    (POLISH, "iso-8859-2"),
    (POLISH, "windows-1250"),
    (PORTUGUESE, "iso-8859-1"),
    (ROMANIAN, "iso-8859-16"),
    (ROMANIAN.translate(str.maketrans("șțȘȚ", "şţŞŢ")), "windows-1250"),
    (SWEDISH, "iso-8859-1"),
    (SWEDISH, "windows-1252"),
]


# Too few accents for a detector, or no detector that tells the euro sign's code from a letter's.
DETECTABLE = [(text, charset) for text, charset in LEGACY if text not in (ITALIAN, DUTCH) and "€" not in text]
LATIN2 = [(CZECH, "iso-8859-2"), (POLISH, "iso-8859-2"), (ROMANIAN, "iso-8859-16")]


def page(text, charset, meta=""):
    tag = f'<meta http-equiv="Content-Type" content="text/html; charset={meta}">' if meta else ""
    return f"<html><head>{tag}</head><body><p>{text}</p></body></html>".encode(charset)


@pytest.mark.parametrize(("text", "charset"), LEGACY)
def test_right_declaration_is_believed(text, charset):
    assert text in decode(page(text, charset), charset).text
    declared_in_page = decode(page(text, charset, meta=charset), "")
    assert text in declared_in_page.text
    assert declared_in_page.how == "meta"


@pytest.mark.parametrize(("text", "charset"), DETECTABLE)
def test_false_utf8_is_seen_through(text, charset):
    # ș and ş are one letter, in the new and the old coding
    same = str.maketrans("şţŞŢ", "șțȘȚ")
    found = decode(page(text * 5, charset), "utf-8")
    assert text.translate(same) in found.text.translate(same)
    assert found.how == "detected"


@pytest.mark.parametrize(("text", "charset"), LATIN2)
def test_false_latin1_is_seen_through(text, charset):
    assert text in decode(page(text * 5, charset), "iso-8859-1").text


@pytest.mark.parametrize("declared", ["iso-8859-1", "windows-1250", "us-ascii", "shift_jis", "nonsense", ""])
def test_valid_utf8_overrules_any_declaration(declared):
    assert decode(page(POLISH, "utf-8", meta=declared), declared).text.count(POLISH) == 1


@pytest.mark.parametrize("bom", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_mark_comes_first(bom):
    charset = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}[bom]
    found = decode(bom + page(CZECH, charset), "windows-1251")
    assert (found.text, found.charset, found.how) == (page(CZECH, "utf-8").decode(), charset, "bom")


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_utf16_without_mark(charset):
    assert decode(page(SWEDISH, charset), "utf-8").text == page(SWEDISH, "utf-8").decode()


def test_strewn_zero_bytes_are_dropped():
    assert decode(b"<p>wo\0rd\0 by\0 word</p>", "").text == "<p>word by word</p>"


def test_few_faulty_bytes_do_not_unmake_utf8():
    found = decode(page(CZECH, "utf-8").replace(b"dy,", b"\xff\xfe,"), "utf-8")
    assert found.charset == "utf-8"
    assert found.text == page(CZECH, "utf-8").decode().replace("dy,", "\ufffd\ufffd,")


def test_character_cut_at_the_end_is_dropped():
    assert decode("añ".encode()[:-1], "").text == "a"


def test_japanese_by_declaration_and_detection():
    text = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。" * 3
    assert text in decode(page(text, "shift_jis", meta="shift_jis"), "utf-8").text
    assert text in decode(page(text, "euc-jp"), "").text
    assert text in decode(page(text, "iso-2022-jp", meta="iso-2022-jp"), "").text


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("ISO-8859-1", "cp1252"),
        ("latin1", "cp1252"),
        ("us-ascii", "cp1252"),
        (' "UTF8" ', "utf-8"),
        ("x-sjis", "cp932"),
        ("gb2312", "gb18030"),
        ("euc-kr", "cp949"),
        ("windows-1250", "cp1250"),
        ("utf-7", None),
        ("", None),
        ("ä", None),
    ],
)
def test_labels_mean_what_they_mean_on_the_web(label, codec):
    assert codec_of(label) == codec


def test_meta_forms():
    assert declared_in_meta(b"<META CHARSET = 'ISO-8859-2'>") == "ISO-8859-2"
    assert declared_in_meta(b'<meta content="text/html; charset=koi8-r" http-equiv=content-type>') == "koi8-r"
    assert declared_in_meta(b'<?xml version="1.0" encoding="euc-jp"?>') == "euc-jp"
    assert declared_in_meta(b"<p>charset=utf-8</p>") == ""


@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "iso-2022-jp", "utf-16", "x", "gbk", "ä\0"]))
def test_never_raises_and_gives_clean_text(payload, declared):
    text = decode(payload, declared).text
    assert text.encode("utf-8").decode("utf-8") == text
    assert not {"\0", "\ufeff"} & set(text)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=80))
def test_utf8_round_trip(text):
    payload = page(text, "utf-8")
    assert decode(payload, "utf-8").text == payload.decode()


def responses(path):
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream):
            if record.rec_type == "response":
                header = record.http_headers.get_header("content-type") or ""
                charset = header.partition("charset=")[2].strip()
                yield record.rec_headers["WARC-Target-URI"], record.content_stream().read(), charset


@pytest.mark.parametrize(("name", "n_checks"), [("wrong_charset", 14), ("utf16", 4)])
def test_real_texts_under_false_labels(shared_data, name, n_checks):
    expected = json.loads((shared_data / "corrupt" / "expected.json").read_text(encoding="utf-8"))
    checks = expected[f"derived/{name}.warc.gz"]["checks"]
    found = {
        url: checks[url]["must_contain"] in decode(payload, charset).text
        for url, payload, charset in responses(shared_data / "corrupt" / "derived" / f"{name}.warc.gz")
        if url in checks
    }
    assert found == dict.fromkeys(checks, True)
    assert len(found) == n_checks
