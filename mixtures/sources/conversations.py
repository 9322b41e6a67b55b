"""Conversations to one document per thread: a conversation's messages lie apart, so they are grouped on disk first.

Every thread repeats the messages that lead to it; `Document.repeated_prefix` marks how much of its beginning an earlier
thread of the conversation has already carried, up to the beginning of the first turn that it has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mixtures.errors import InputError
from mixtures.sources.document import Document, Dropped, Item, Noted
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.kind import Keyed, Kind
from mixtures.sources.messages import REDDIT, Fields, messages
from mixtures.sources.rows import PATTERN, SAID, Row, column_names, rows, splits
from mixtures.sources.streams import Piece
from mixtures.sources.template import check_template, fill
from mixtures.sources.threads import Message, Path, choose, plant

_PLACES: Final = {"author", "speaker", "text"}


@dataclass(frozen=True, kw_only=True)
class ChatFormat:
    """How a thread reads; see mixtures/recipes/sources/conversations.yaml. roles: what `{author}` says for a role."""

    turn: str
    titled_turn: str
    between_turns: str
    speaker: str
    roles: dict[str, str]

    def __post_init__(self) -> None:
        check_template("turn", self.turn, _PLACES, needed={"text"})
        check_template("titled_turn", self.titled_turn, _PLACES | {"title"}, needed={"text", "title"})


@dataclass(frozen=True, kw_only=True)
class ConversationOptions:
    """What is taken of conversations; see mixtures/recipes/sources/conversations.yaml."""

    source: str | None
    licence: str | None
    min_messages: int
    min_score: int | None
    max_threads: int | None
    format: ChatFormat
    removed: tuple[str, ...]
    fields: Fields

    def __post_init__(self) -> None:
        if self.min_messages < 1 or (self.max_threads is not None and self.max_threads < 1):
            raise ValueError("min_messages and max_threads must be at least 1 (max_threads may be null)")


def check(sources: Sequence[Source], options: ConversationOptions) -> None:
    """Raise InputError for an input in none of the layouts, by its columns."""
    fields = options.fields
    for source in sources:
        names = set(column_names(source))
        reddit = {"body", "link_id"} <= names or {"subreddit", "title"} <= names
        whole = names & set(fields.turns + fields.root + fields.replies)
        if names and not reddit and not whole and not (names & set(fields.text) and names & set(fields.tree)):
            raise InputError(
                f"{source.path}: no conversation in a layout that is known: it has {', '.join(sorted(names))}; say "
                "under which names with --set fields.tree=[…], fields.text=[…], fields.replies=[…] or fields.turns=[…]"
            )


def keyed(piece: Piece, options: ConversationOptions) -> Iterator[Keyed | Dropped]:
    """The messages of a piece, by source and conversation."""
    for row in rows(piece, options.fields.names() | REDDIT | {"deleted", "removed"}):
        if isinstance(row, Row):
            for found in messages(row, options.fields):
                if isinstance(found, Dropped):
                    yield found
                else:
                    group, message = found
                    yield (options.source, *group) if options.source else group, asdict(message)
        else:
            yield row


def grouped(group: tuple[str, ...], found: list[dict[str, Any]], options: ConversationOptions) -> Iterator[Item]:
    """The threads of one conversation."""
    told: dict[str, Message] = {}
    for message in (Message(**record) for record in found):
        first = told.setdefault(message.id, message)
        if first.text != message.text:
            yield Dropped(reason="another message of the same thread and id (of another forum, or edited)")
        elif first is not message:
            yield Dropped(reason="same message again")
    kept = []
    for message in told.values():
        if reason := _against(message, options):
            yield Dropped(reason=reason)
        else:
            kept.append(message)
    forest = plant(kept)
    if forest.orphans:
        yield Noted(what="thread without its beginning (the message answered is not there)", records=forest.orphans)
    if forest.circular:
        yield Dropped(
            reason="messages that answer each other in a circle",
            place=": ".join(group),
            damaged=True,
            records=forest.circular,
        )
    chosen = choose(forest, min_messages=options.min_messages, max_threads=options.max_threads)
    for reason, n_messages in sorted(chosen.dropped.items()):
        yield Dropped(reason=reason, records=n_messages)
    for path, n_told in chosen.threads:
        yield _document(group, path, n_told, options)


def _against(message: Message, options: ConversationOptions) -> str | None:
    if message.text.strip() in options.removed:
        return "removed message"
    if not message.text.strip() and not message.title:
        return "empty message"
    if options.min_score is not None and message.score < options.min_score:
        return "message below min_score"
    return None


def _document(group: tuple[str, ...], path: Path, n_told: int, options: ConversationOptions) -> Document:
    between = options.format.between_turns
    turns = list(_turns(path, options.format, options.removed))
    prefix = "".join(turn + between for turn in turns[:n_told])
    last = path[-1]
    return Document(
        key=(*group, last.id),
        text=between.join(turns),
        source=group[0],
        url=last.url,
        title=path[0].title or None,
        licence="; ".join(sorted({message.licence for message in path} - {""})) or options.licence,
        language=path[0].language if len({message.language for message in path}) == 1 else None,
        repeated_prefix=len(prefix.encode()),
        records=len(path) - n_told,
    )


def _turns(path: Path, form: ChatFormat, removed: tuple[str, ...]) -> Iterator[str]:
    speakers: dict[str, str] = {}
    for message in path:
        name = "" if message.author in removed else message.author
        who = name or message.role or message.id
        speaker = speakers.setdefault(who, f"{form.speaker} {len(speakers) + 1}")
        author = form.roles.get(message.role.lower(), message.role) or name or speaker
        template = form.titled_turn if message.title else form.turn
        values = {"author": author, "speaker": speaker, "text": message.text.strip(), "title": message.title}
        yield fill(template, **values).rstrip()


KIND: Final = Kind(
    name="conversations",
    options=ConversationOptions,
    accepted=Accepted(
        pattern=PATTERN + r"|R[SC]_\d{4}-\d\d(-\d\d)?(\.(gz|bz2|xz|zst))?$", said=SAID + ", or RS_… and RC_…"
    ),
    splits=splits,
    check=check,
    keyed=keyed,
    grouped=grouped,
)
