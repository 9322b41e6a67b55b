"""Stack Exchange: `Posts.xml` dumps to one document per question with its answers.

A dump's rows are in the order of their ids, so that answers lie anywhere after their question: posts are grouped by
question on disk. `<` never stands in an attribute as such, so a row begins at any `<row` and ends before the next `<`:
parts of a file can be read alone, and a broken row costs only itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO, Final, Literal

from lxml import etree  # type: ignore[import-untyped]

from mixtures.errors import InputError
from mixtures.sources.document import Document, Dropped, Item
from mixtures.sources.html_text import html_text
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.kind import Keyed, Kind
from mixtures.sources.streams import PACKED, Piece, Unreadable, cannot_go_on, open_unpacked, unpacked_name
from mixtures.sources.template import check_template, fill

QUESTION: Final = "1"
ANSWER: Final = "2"
_CHUNK: Final = 1 << 20
_HEAD_BYTES: Final = 4096
_MAX_ROW_BYTES: Final = 64 << 20
_ROW: Final = re.compile(rb"<row[\s/>]")
_ILLEGAL: Final = re.compile(rb"&#(?:x(?:0*(?:[0-8bcefBCEF]|1[0-9a-fA-F]))|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));")
_SITE: Final = re.compile(r"((?:[a-z0-9-]+\.)+(?:com|net|org))(?:-Posts)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a thread reads. `thread` has {title}, {question} and {answers}, `answer` has {answer} and {score}."""

    thread: str
    answer: str
    between_answers: str

    def __post_init__(self) -> None:
        check_template("thread", self.thread, {"title", "question", "answers"}, needed={"question"})
        check_template("answer", self.answer, {"answer", "score"}, needed={"answer"})


@dataclass(frozen=True, kw_only=True)
class StackExchangeOptions:
    """What is taken of a dump; see mixtures/recipes/sources/stackexchange.yaml."""

    site: str | None
    min_question_score: int
    min_answer_score: int
    min_answers: int
    max_answers: int | None
    accepted_first: bool
    closed: Literal["keep", "drop"]
    format: Format

    def __post_init__(self) -> None:
        if self.min_answers < 0 or (self.max_answers is not None and self.max_answers < max(1, self.min_answers)):
            raise ValueError("max_answers must be at least 1 and min_answers, or null; min_answers at least 0")


def check(sources: Sequence[Source], options: StackExchangeOptions) -> None:
    """Raise InputError for a dump of which nobody says which site it is of, and for what is none."""
    for source in sources:
        _site(source, options)
        _check_beginning(source)


def _check_beginning(source: Source) -> None:
    try:
        with open_unpacked(Piece(source=source).path) as stream:
            head = stream.read(_HEAD_BYTES)
    except Unreadable:
        return  # reading it tells
    if head.strip() and b"<posts" not in head and not _ROW.search(head):
        raise InputError(
            f"{source.path}: neither <posts> nor a <row …> in its beginning; give a Posts.xml as Stack Exchange dumps "
            "it, in UTF-8 (from UTF-16: `iconv -f UTF-16 -t UTF-8`)"
        )


def keyed(piece: Piece, options: StackExchangeOptions) -> Iterator[Keyed | Dropped]:
    """The questions and answers of a piece, by site and question."""
    site = _site(piece.source, options)
    for row in rows(piece):
        if isinstance(row, Dropped):
            yield row
            continue
        offset, raw = row
        post = _attributes(raw)
        if post is None or not post.get("Id", "").isdecimal():
            yield Dropped(reason="broken row", place=piece.place(offset), damaged=True)
        elif post.get("PostTypeId") == QUESTION:
            yield (site, post["Id"]), _post(post)
        elif post.get("PostTypeId") == ANSWER and "ParentId" in post:
            yield (site, post["ParentId"]), _post(post)
        else:
            yield Dropped(reason="neither question nor answer")


def rows(piece: Piece) -> Iterator[tuple[int, bytes] | Dropped]:
    """The `<row …/>` elements that begin within the piece, with the bytes at which they begin."""
    with open_unpacked(piece.path) as stream:
        offset = piece.start
        try:
            if offset:
                stream.seek(offset)
            for offset, row in _rows(stream, piece.start):
                if piece.end is not None and offset >= piece.end:
                    return
                if row is None:
                    yield Dropped(reason="row too long", place=piece.place(offset), damaged=True)
                else:
                    yield offset, row
        except Unreadable as error:
            yield cannot_go_on(piece, offset, error)


def _rows(stream: BinaryIO, start: int) -> Iterator[tuple[int, bytes | None]]:
    """Elements from here to the end of the stream; None for one that is too long to be held."""
    held, at, position, more = b"", start, 0, True
    while True:
        found = _ROW.search(held, position)
        end = held.find(b"<", found.end()) if found else -1
        if found and (end >= 0 or not more):
            position = end if end >= 0 else len(held)
            yield at + found.start(), held[found.start() : position]
        elif found and len(held) - found.start() > _MAX_ROW_BYTES:
            position = found.end()
            yield at + found.start(), None
        elif not more:
            return
        else:
            keep = found.start() if found else max(position, len(held) - 4)
            chunk = stream.read(_CHUNK)
            held, at, position, more = held[keep:] + chunk, at + keep, 0, bool(chunk)


def _attributes(row: bytes) -> dict[str, str] | None:
    """The attributes of a row; characters that XML forbids, which dumps hold as references, go."""
    element = row.strip()
    if not element.endswith(b"/>"):
        element = element[:-1] + b"/>" if element.endswith(b">") else b""
    for text in (element, _ILLEGAL.sub(b"", element)):
        try:
            parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
            return dict(etree.fromstring(text, parser).attrib)
        except (etree.XMLSyntaxError, ValueError):
            continue
    return None


def _post(post: dict[str, str]) -> dict[str, Any]:
    return {
        "id": int(post["Id"]),
        "type": post["PostTypeId"],
        "score": _number(post.get("Score")),
        "accepted": _number(post.get("AcceptedAnswerId")),
        "title": post.get("Title", ""),
        "body": post.get("Body", ""),
        "licence": post.get("ContentLicense", ""),
        "closed": "ClosedDate" in post,
    }


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"-?\d{1,18}", text) else 0


def grouped(group: tuple[str, ...], posts: list[dict[str, Any]], options: StackExchangeOptions) -> Iterator[Item]:
    """One document of a question and its answers."""
    site, question_id = group
    posts, copies = _without_copies(posts)
    if copies:
        yield Dropped(reason="same post again", records=copies)
    questions = [post for post in posts if post["type"] == QUESTION]
    if not questions:
        yield Dropped(reason="answer without its question", records=len(posts))
        return
    question = questions[0] | {"text": html_text(questions[0]["body"])}
    answers = _ordered([post for post in posts if post["type"] == ANSWER], question["accepted"], options)
    kept: list[dict[str, Any]] = []
    for answer in answers:
        answer["text"] = html_text(answer["body"])
        if reason := _against(answer, kept, options):
            yield Dropped(reason=reason)
        else:
            kept.append(answer)
    if reason := _against_thread(question, kept, options):
        yield Dropped(reason=reason, records=1 + len(kept))
        return
    yield _document(site, question_id, question, kept, options.format)


def _without_copies(posts: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    first = {post["id"]: post for post in reversed(posts)}
    kept = [first[number] for number in sorted(first)]
    return kept, len(posts) - len(kept)


def _ordered(answers: list[dict[str, Any]], accepted: int, options: StackExchangeOptions) -> list[dict[str, Any]]:
    """By score, the best first; of equals the older."""

    def rank(answer: dict[str, Any]) -> tuple[bool, int, int]:
        return not (options.accepted_first and answer["id"] == accepted), -answer["score"], answer["id"]

    return sorted(answers, key=rank)


def _against(answer: dict[str, Any], kept: list[dict[str, Any]], options: StackExchangeOptions) -> str | None:
    if answer["score"] < options.min_answer_score:
        return "answer below min_answer_score"
    if not answer["text"]:
        return "empty answer"
    if options.max_answers is not None and len(kept) >= options.max_answers:
        return "answer beyond max_answers"
    return None


def _against_thread(question: dict[str, Any], kept: list[dict[str, Any]], options: StackExchangeOptions) -> str | None:
    if question["score"] < options.min_question_score:
        return "question below min_question_score"
    if question["closed"] and options.closed == "drop":
        return "closed question"
    if not question["text"]:
        return "empty question"
    if len(kept) < options.min_answers:
        return "fewer than min_answers"
    return None


def _document(
    site: str, question_id: str, question: dict[str, Any], answers: list[dict[str, Any]], form: Format
) -> Document:
    told = [fill(form.answer, answer=answer["text"], score=str(answer["score"])) for answer in answers]
    title = question["title"].strip()
    text = fill(form.thread, title=title, question=question["text"], answers=form.between_answers.join(told))
    licences = sorted({post["licence"] for post in (question, *answers)} - {""})
    return Document(
        key=(site, question_id),
        text=text.strip(),
        source=f"stackexchange/{site}",
        url=f"https://{site}/q/{question_id}",
        title=title or None,
        licence="; ".join(licences) or None,
        records=1 + len(answers),
    )


def _site(source: Source, options: StackExchangeOptions) -> str:
    """The site's address: what the recipe says, or the nearest folder or the file's own name where it is one."""
    if options.site:
        return options.site
    path = PurePath(source.path)
    names = [unpacked_name(path.name).removesuffix(".xml"), *(part for part in reversed(path.parts[:-1]))]
    for name in names:
        if found := _SITE.fullmatch(name):
            return found[1].lower()
    raise InputError(
        f"{source.path}: which site is this dump of? give --set site=math.stackexchange.com, or let its folder have "
        "the site's name"
    )


def _splits(source: Source) -> bool:
    return not source.path.endswith(PACKED)


KIND: Final = Kind(
    name="stackexchange",
    options=StackExchangeOptions,
    accepted=Accepted(
        pattern=r"(?i)posts\.xml(\.(gz|bz2|xz|zst))?$",
        said="a site's Posts.xml, plain or packed as .gz, .bz2, .xz or .zst (unpack .7z first)",
    ),
    splits=_splits,
    libraries=("lxml",),
    check=check,
    keyed=keyed,
    grouped=grouped,
)
