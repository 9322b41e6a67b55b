"""Messages out of rows, in whichever of the usual layouts: Reddit's dumps, nested trees, lists of turns, flat rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mixtures.sources.document import Dropped
from mixtures.sources.rows import Row, first_value
from mixtures.sources.threads import Message

COMMENT: Final = "t1_"
SUBMISSION: Final = "t3_"
SOURCE: Final = "conversations"
"""Source of messages that do not come from Reddit, before their forum's name; no input's, as a conversation may lie in
several."""
NO_MESSAGE: Final = "no message: no id, text and thread under the names of `fields`"


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names under which a message may have what; the first that is there and not null counts."""

    id: tuple[str, ...]
    parent: tuple[str, ...]
    tree: tuple[str, ...]
    forum: tuple[str, ...]
    author: tuple[str, ...]
    role: tuple[str, ...]
    text: tuple[str, ...]
    title: tuple[str, ...]
    score: tuple[str, ...]
    rank: tuple[str, ...]
    language: tuple[str, ...]
    licence: tuple[str, ...]
    replies: tuple[str, ...]
    turns: tuple[str, ...]
    root: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("text: no name at all; give at least one")

    def names(self) -> set[str]:
        """All of these names."""
        return {name for names in vars(self).values() for name in names}


REDDIT: Final = frozenset(
    {"id", "body", "link_id", "parent_id", "author", "score", "subreddit", "title", "selftext", "permalink"}
)

Found = tuple[tuple[str, str], Message]
"""Source and conversation, and the message."""


def messages(row: Row, fields: Fields) -> Iterator[Found | Dropped]:
    """The messages of a row; a licence that the row states is that of all of them."""
    licence = _text(first_value(row.values, fields.licence))
    for found in _messages(row, fields):
        yield found if isinstance(found, Dropped) else (found[0], replace(found[1], licence=licence))


def _messages(row: Row, fields: Fields) -> Iterator[Found | Dropped]:
    values = row.values
    if "body" in values and "link_id" in values:
        yield _comment(row)
    elif "subreddit" in values and "title" in values:
        yield _submission(row)
    else:
        yield from _tree(row, fields)


def _comment(row: Row) -> Found | Dropped:
    values = row.values
    number, link, parent = (_text(values.get(name)) for name in ("id", "link_id", "parent_id"))
    if not (number and link and isinstance(values.get("body"), str)):
        return Dropped(reason=NO_MESSAGE, place=row.place, damaged=True)
    number, link = number.removeprefix(COMMENT), link.removeprefix(SUBMISSION)
    message = Message(
        id=COMMENT + number,
        parent=_reddit_parent(parent, link),
        text=_unescaped(values["body"]),
        author=_text(values.get("author")),
        score=_number(values.get("score")),
        url=_reddit_url(values, f"https://www.reddit.com/comments/{link}/_/{number}"),
    )
    return (_subreddit(values), SUBMISSION + link), message


def _submission(row: Row) -> Found | Dropped:
    values = row.values
    number = _text(values.get("id")).removeprefix(SUBMISSION)
    if not number:
        return Dropped(reason=NO_MESSAGE, place=row.place, damaged=True)
    message = Message(
        id=SUBMISSION + number,
        parent=None,
        text=_unescaped(_text(values.get("selftext"))),
        title=_unescaped(_text(values.get("title"))),
        author=_text(values.get("author")),
        score=_number(values.get("score")),
        url=_reddit_url(values, f"https://www.reddit.com/comments/{number}"),
    )
    return (_subreddit(values), SUBMISSION + number), message


def _reddit_parent(parent: str, link: str) -> str:
    """`t1_…` for a comment, `t3_…` for the submission; the oldest dumps have numbers without a kind for comments."""
    if not parent:
        return SUBMISSION + link
    return parent if parent.startswith((COMMENT, SUBMISSION)) else COMMENT + parent


def _unescaped(text: str) -> str:
    """Text of Reddit, which escapes three characters."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _subreddit(values: Mapping[str, Any]) -> str:
    name = _text(values.get("subreddit"))
    return f"reddit/{name}" if name else "reddit"


def _reddit_url(values: Mapping[str, Any], otherwise: str) -> str:
    link = _text(values.get("permalink"))
    return f"https://www.reddit.com{link}" if link.startswith("/") else otherwise


def _tree(row: Row, fields: Fields) -> Iterator[Found | Dropped]:
    """Messages of a row with nested replies, with a list of turns, or with one message."""
    values = row.values
    root = first_value(values, fields.root)
    nested = root if isinstance(root, dict) else values
    turns = first_value(values, fields.turns)
    tree = _text(first_value(values, fields.tree))
    forum = _text(first_value(values, fields.forum))
    source = f"{SOURCE}/{forum}" if forum else SOURCE
    if isinstance(turns, list) and turns:
        yield from _turns(turns, row, fields, (source, tree or _text(first_value(values, fields.id)) or row.place))
        return
    number, parent = _text(first_value(nested, fields.id)), _text(first_value(nested, fields.parent))
    tree = tree or ("" if parent else number)
    if nested is values and not tree:
        yield Dropped(reason=NO_MESSAGE, place=row.place, damaged=True)
        return
    yield from _nested(nested, row, fields, (source, tree or row.place), parent)


def _turns(turns: Sequence[Any], row: Row, fields: Fields, group: tuple[str, str]) -> Iterator[Found | Dropped]:
    parent = ""
    for number, turn in enumerate(turns):
        message = _message(turn, f"{number:09d}", parent, fields)
        if message is None:
            yield Dropped(reason=NO_MESSAGE, place=f"{row.place}, turn {number}", damaged=True)
            continue
        parent = message.id
        yield group, message


def _nested(
    root: Mapping[str, Any], row: Row, fields: Fields, group: tuple[str, str], parent: str
) -> Iterator[Found | Dropped]:
    waiting: list[tuple[Any, str, str]] = [(root, "0", parent)]
    while waiting:
        values, place, parent = waiting.pop()
        message = _message(values, place, parent, fields)
        if message is None:
            yield Dropped(reason=NO_MESSAGE, place=f"{row.place}, message {place}", damaged=True)
        else:
            yield group, message
        replies = first_value(values, fields.replies) if isinstance(values, dict) else None
        if isinstance(replies, list):
            above = message.id if message else place
            waiting += [(reply, f"{place}.{n}", above) for n, reply in reversed(list(enumerate(replies)))]


def _message(values: Any, place: str, parent: str, fields: Fields) -> Message | None:
    """A message, whose id is its place in the row where it has none; None where there is no text."""
    if not isinstance(values, dict):
        return None
    text = first_value(values, fields.text)
    if not isinstance(text, str):
        return None
    removed = values.get("deleted") is True or values.get("removed") is True
    return Message(
        id=_text(first_value(values, fields.id)) or place,
        parent=parent or None,
        text="" if removed else text,
        author=_text(first_value(values, fields.author)),
        role=_text(first_value(values, fields.role)),
        title=_text(first_value(values, fields.title)),
        score=_number(first_value(values, fields.score)) - _number(first_value(values, fields.rank)),
        language=_text(first_value(values, fields.language)) or None,
    )


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # what pandas makes of whole numbers where one is missing
        value = int(value)
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 1e15 else 0
