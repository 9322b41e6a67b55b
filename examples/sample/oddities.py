"""Captures that try the reader rather than the filters: encodings, codings, other media types, broken records."""

import base64
import gzip
from collections.abc import Iterator
from dataclasses import replace

from sample.captures import CHARSET_PLACES, HTML, TRANSFER_PLACES, Capture, Library
from sample.pages import Layout, paragraphs_html
from sample.texts import UNWANTED_LANGUAGES, without_diacritics

# A domain that datatrove's block list of adult sites carries; the page itself is one of the harmless texts.
LISTED_HOST = "bluepictures.com"

ONE_PIXEL_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
NESTING_DEPTH = 6000


def charsets(library: Library) -> Iterator[Capture]:
    """Pages not in declared UTF-8: wrongly declared, declared in the markup or the header alone, or not at all."""
    cases = (
        ("charset_wrong", "cs", "cp1250", "", HTML),
        ("charset_meta", "pl", "iso-8859-2", '<meta charset="iso-8859-2">', "text/html"),
        ("charset_header", "es", "cp1252", "", "text/html; charset=windows-1252"),
        ("charset_undeclared", "ro", "utf-8", "", "text/html"),
        ("charset_utf16", "sv", "utf-16", "", "text/html"),
    )
    for kind, lang, encoding, meta, content_type in cases:
        (place,) = CHARSET_PLACES[lang]
        text = library.texts[lang][place]
        layout = replace(library.layout(text), charset=meta)
        html = library.publisher.publish(text, layout)
        # Python's "utf-16" follows the machine's byte order; crawled pages come little-endian with a mark.
        body = (
            b"\xff\xfe" + html.encode("utf-16-le")
            if encoding == "utf-16"
            else html.encode(encoding, "xmlcharrefreplace")
        )
        yield replace(library.capture(kind, text, layout), body=body, headers=(("Content-Type", content_type),))


def codings(library: Library) -> Iterator[Capture]:
    """A gzip-encoded body and a chunked one."""
    first, second = (library.texts["en"][place] for place in TRANSFER_PLACES["en"])
    zipped = library.capture("gzip_body", first)
    body = gzip.compress(zipped.body, mtime=0)
    yield replace(zipped, body=body, headers=(*zipped.headers, ("Content-Encoding", "gzip")))
    chunked = library.capture("chunked_body", second)
    yield replace(
        chunked, body=_chunks(chunked.body, 1000), headers=(*chunked.headers, ("Transfer-Encoding", "chunked"))
    )


def languages(library: Library) -> Iterator[Capture]:
    """Pages in languages that nobody asked for, and wanted ones written without their diacritics."""
    for lang in UNWANTED_LANGUAGES:
        yield library.capture("unwanted_language", library.texts[lang][0])
    for lang in ("cs", "ro"):
        text = without_diacritics(library.texts[lang][0])
        yield library.capture("no_diacritics", text, Layout(template="plain", host=f"forum-{lang}.example"))


def listed_domain(library: Library) -> Iterator[Capture]:
    """A good text on a host that the block list names."""
    yield library.capture("listed_domain", library.texts["en"][0], Layout(host=LISTED_HOST))


def other_media(library: Library) -> Iterator[Capture]:
    """A PDF, an image, and two robots.txt."""
    pdf = _pdf(library.texts["en"][0].title)
    yield Capture(
        kind="pdf",
        url="https://slow-notebook.example/walls.pdf",
        body=pdf,
        headers=(("Content-Type", "application/pdf"),),
    )
    gif = (("Content-Type", "image/gif"),)
    yield Capture(kind="image", url="https://talbote.example/pixel.gif", body=ONE_PIXEL_GIF, headers=gif)
    for host in ("valley-courier.example", "polderbode.example"):
        body = b"User-agent: *\nDisallow: /search\nCrawl-delay: 5\n"
        yield Capture(
            kind="robots", url=f"https://{host}/robots.txt", body=body, headers=(("Content-Type", "text/plain"),)
        )


def statuses(library: Library) -> Iterator[Capture]:
    """Redirects and pages that are not there."""
    for lang in ("en", "fr"):
        target = library.capture("redirect", library.texts[lang][0])
        headers = (*target.headers, ("Location", target.url))
        old_url = target.url.replace("https://", "http://")
        body = b"<html><head><title>301 Moved Permanently</title></head><body></body></html>"
        yield replace(target, url=old_url, status="301 Moved Permanently", headers=headers, body=body, source=None)
    for host in ("hyvelbanken.example", "kurier-doliny.example"):
        body = b"<html><head><title>404</title></head><body><h1>Not Found</h1></body></html>"
        yield Capture(kind="not_found", url=f"https://{host}/old-page", body=body, status="404 Not Found")


def broken(library: Library) -> Iterator[Capture]:
    """A revisit, a capture cut short, a damaged gzip member, an empty body, and a page nested past all reason."""
    seen = library.capture("revisit", library.texts["en"][2])
    yield replace(seen, body=b"", revisit_of=seen.url)
    long = library.capture("truncated", library.texts["nl"][2], Layout(host="cut.example"))
    yield replace(long, body=long.body[: len(long.body) // 2], truncated="length")
    yield replace(library.capture("damaged", library.texts["nl"][3], Layout(host="spoilt.example")), damaged=True)
    yield Capture(kind="empty", url="https://empty.example/", body=b"")
    text = library.texts["it"][0]
    article = "<div>" * NESTING_DEPTH + paragraphs_html(text) + "</div>" * NESTING_DEPTH
    deep = Layout(template="plain", host="nested.example")
    yield replace(library.capture("nested", text, deep), body=library.publisher.wrap(text, article, deep).encode())


def _chunks(body: bytes, size_bytes: int) -> bytes:
    parts = (body[i : i + size_bytes] for i in range(0, len(body), size_bytes))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _pdf(line: str) -> bytes:
    """The smallest PDF that shows one line of ASCII."""
    stream = f"BT /F1 18 Tf 72 720 Td ({line}) Tj ET".encode("ascii")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    )
    pdf, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(pdf))
    return pdf + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer
