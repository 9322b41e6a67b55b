"""Conversations as trees of messages, flattened into threads: from a first message to each last one.

Threads come depth first, replies by score, the best first, then by id. What a thread shares with those before it is
always a run of messages at its beginning.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Path = list["Message"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message; `parent` is the id of the one that it answers, None where it answers none."""

    id: str
    parent: str | None
    text: str
    author: str = ""
    role: str = ""
    title: str = ""
    score: int = 0
    language: str | None = None
    url: str = ""
    licence: str = ""


@dataclass(kw_only=True)
class Forest:
    """Messages of one conversation as trees.

    roots: in their order. orphans: roots whose parent is not among the messages. circular: messages from whose parents
    no way leads to a root.
    """

    roots: list[Message] = field(default_factory=list)
    replies: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    orphans: int = 0
    circular: int = 0


def plant(messages: Sequence[Message]) -> Forest:
    """Put messages, of which no two have the same id, into trees."""
    known = {message.id for message in messages}
    forest = Forest()
    for message in sorted(messages, key=lambda message: (-message.score, message.id)):
        if message.parent in known and message.parent is not None:
            forest.replies[message.parent].append(message)
        else:
            forest.roots.append(message)
            forest.orphans += message.parent is not None
    forest.roots.sort(key=lambda message: (message.parent is not None, -message.score, message.id))
    forest.circular = len(messages) - _reached(forest)
    return forest


def _reached(forest: Forest) -> int:
    waiting, n_reached = list(forest.roots), 0
    while waiting:
        n_reached += 1
        waiting += forest.replies.get(waiting.pop().id, ())
    return n_reached


def threads(forest: Forest) -> Iterator[Path]:
    """The messages from a root to each message without replies; each list is the caller's."""
    waiting = [(root, 0) for root in reversed(forest.roots)]
    path: Path = []
    while waiting:
        message, depth = waiting.pop()
        path[depth:] = [message]
        replies = forest.replies.get(message.id, ())
        if not replies:
            yield list(path)
        waiting += [(reply, depth + 1) for reply in reversed(replies)]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Threads that become documents, each with the number of messages that stand in an earlier one, and how many
    messages are in none, by reason."""

    threads: list[tuple[Path, int]]
    dropped: Counter[str]


def choose(forest: Forest, *, min_messages: int, max_threads: int | None) -> Chosen:
    """Choose among the threads of a conversation."""
    chosen: list[tuple[Path, int]] = []
    told: set[str] = set()
    reasons: dict[str, str] = {}
    for path in threads(forest):
        if len(path) < min_messages:
            reason = "thread shorter than min_messages"
        elif max_threads is not None and len(chosen) >= max_threads:
            reason = "thread beyond max_threads"
        else:
            ids = [message.id for message in path]
            n_told = next((n for n, message_id in enumerate(ids) if message_id not in told), len(ids))
            chosen.append((path, n_told))
            told.update(ids[n_told:])
            continue
        reasons |= {message.id: reason for message in path if message.id not in told}
    return Chosen(threads=chosen, dropped=Counter(reason for found, reason in reasons.items() if found not in told))
