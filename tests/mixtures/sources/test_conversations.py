"""Conversations: Reddit's dumps, trees, lists of turns, flat messages."""

import json
from dataclasses import asdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from mixtures.errors import InputError, RecipeError
from mixtures.sources.conversations import grouped
from mixtures.sources.document import Document, Dropped
from tests.mixtures.sources.imports import imported, options_of, write_lines
from tests.mixtures.sources.test_threads import conversations

HEAD = "crumb_lover: My bread is flat & dense\n\nI used 500 g of flour.\n\nWhat went wrong?\n"
BRANCH = HEAD + "yeastie: How long did it rise?\ncrumb_lover: Two hours.\n"


def test_reddit_submissions_and_comments_become_threads(samples, tmp_path):
    report, documents = imported("conversations", samples / "reddit", tmp_path / "out")
    told = {document["url"].rpartition("/")[2]: document for document in documents}
    assert told["e3"]["text"] == HEAD + "hydrate: More water: 350 g, if x < 70 %."
    assert told["e4"]["text"] == BRANCH + "yeastie: Give it four. Ünlü — ja."
    assert told["e8"]["text"] == BRANCH + "slow: Or cold, overnight."
    assert [told[leaf]["repeated_prefix"] for leaf in ("e3", "e4", "e8")] == [0, len(HEAD), len(BRANCH)]
    assert told["e7"]["text"] == "other: Thanks, that helped!\nSpeaker 2: Glad to hear."
    assert told["f2"]["text"] == "late: Same here.\nlater: And here."
    assert (told["e3"]["source"], told["e3"]["title"]) == ("reddit/baking", "My bread is flat & dense")
    assert told["e4"]["url"] == "https://www.reddit.com/comments/bz1/_/e4"
    counts = report["counts"]
    assert counts["dropped"] == {"removed message": 2, "thread shorter than min_messages": 1}
    assert counts["damaged"] == {"not JSON": 1, "no message: no id, text and thread under the names of `fields`": 1}
    assert counts["noted"] == {"thread without its beginning (the message answered is not there)": 2}
    assert counts["records"] == 15 == counts["records_used"] + 3 + 2
    assert counts["repeated_bytes"] == len(HEAD) + len(BRANCH)


def test_a_tree_of_an_assistant_bears_roles(samples, tmp_path):
    _, documents = imported("conversations", samples / "oasst_trees.jsonl", tmp_path / "out")
    long, short = sorted(documents, key=lambda document: -len(document["text"]))
    assert long["text"] == (
        "User: How do I boil an egg?\nAssistant: Seven minutes in boiling water.\n"
        "User: And for a hard one?\nAssistant: Ten minutes."
    )
    assert short["text"] == "User: How do I boil an egg?\nAssistant: Ask a cook."
    assert (long["repeated_prefix"], short["repeated_prefix"]) == (0, len("User: How do I boil an egg?\n"))
    assert (long["language"], long["source"]) == ("en", "conversations")


def flat(tree, parent=None):
    """Messages of a tree of OpenAssistant, a row each."""
    yield {name: value for name, value in tree.items() if name != "replies"} | {"message_tree_id": "m1"}
    for reply in tree["replies"]:
        yield from flat(reply)


def test_flat_messages_over_two_files_give_the_same_threads(samples, tmp_path):
    tree = json.loads((samples / "oasst_trees.jsonl").read_text())["prompt"]
    rows = list(flat(tree))
    write_lines(tmp_path / "in" / "a.jsonl", rows[::2])
    write_lines(tmp_path / "in" / "b.jsonl", rows[1::2])
    _, documents = imported("conversations", tmp_path / "in", tmp_path / "out")
    _, expected = imported("conversations", samples / "oasst_trees.jsonl", tmp_path / "out2")
    assert documents == expected


def test_numbers_that_a_missing_one_made_floats_are_the_same_ids(tmp_path):
    messages = {"thread_id": [7, 7, 7], "id": [1, 2, 3], "parent_id": [None, 1.0, 2.0], "text": ["a", "b", "c"]}
    parquet.write_table(pa.table(messages), tmp_path / "a.parquet")
    _, (document,) = imported("conversations", tmp_path / "a.parquet", tmp_path / "out")
    assert document["text"] == "Speaker 1: a\nSpeaker 2: b\nSpeaker 3: c"


def test_replies_go_by_their_rank(tmp_path):
    replies = [
        {"message_id": f"r{rank}", "text": f"rank {rank}", "rank": rank, "role": "assistant"} for rank in (2, 0, 1)
    ]
    row = {"message_tree_id": "t", "prompt": {"message_id": "q", "text": "?", "role": "prompter", "replies": replies}}
    _, documents = imported("conversations", write_lines(tmp_path / "a.jsonl", [row]), tmp_path / "out")
    assert [document["text"][-1] for document in documents] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "id": "x"},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
        {"id": 7, "role": "user", "text": "Hi", "replies": [{"id": 8, "role": "assistant", "text": "Hello."}]},
    ],
)
def test_lists_of_turns_and_nested_replies(row, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [row])
    report, (document,) = imported("conversations", path, tmp_path / "out", "licence=Apache-2.0")
    assert (document["text"], document["licence"]) == ("User: Hi\nAssistant: Hello.", "Apache-2.0")
    assert report["counts"]["records"] == 2


def forums():
    """The same numbers in two forums."""
    return [
        {"forum": forum, "thread_id": 1, "id": number, "parent_id": number - 1 or None, "text": f"{forum} {number}"}
        for forum in ("bread", "soil")
        for number in (1, 2)
    ]


@pytest.mark.parametrize("settings", [(), ("source=mine",)])
def test_threads_with_one_number_in_two_forums_are_two(settings, tmp_path):
    report, documents = imported(
        "conversations", write_lines(tmp_path / "a.jsonl", forums()), tmp_path / "out", *settings
    )
    assert sorted(document["text"] for document in documents) == [
        "Speaker 1: bread 1\nSpeaker 2: bread 2",
        "Speaker 1: soil 1\nSpeaker 2: soil 2",
    ]
    sources = {"mine"} if settings else {"conversations/bread", "conversations/soil"}
    assert {document["source"] for document in documents} == sources
    assert len({document["id"] for document in documents}) == 2
    assert report["counts"]["dropped"] == {}


def test_where_no_forum_is_named_other_messages_of_the_same_ids_are_counted_apart_from_copies(tmp_path):
    rows = [{name: value for name, value in row.items() if name != "forum"} for row in forums()]
    path = write_lines(tmp_path / "a.jsonl", [*rows, rows[0]])
    report, _ = imported("conversations", path, tmp_path / "out")
    assert report["counts"]["dropped"] == {
        "another message of the same thread and id (of another forum, or edited)": 2,
        "same message again": 1,
    }


def test_licences_of_rows_are_kept(tmp_path):
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    rows = [{"id": "a", "messages": turns, "license": "CC0"}, {"id": "b", "messages": turns}]
    path = write_lines(tmp_path / "a.jsonl", rows)
    _, documents = imported("conversations", path, tmp_path / "out", "licence=MIT")
    assert {document["licence"] for document in documents} == {"CC0", "MIT"}


def test_the_format_is_the_recipes(samples, tmp_path):
    settings = (
        "format={turn: '<{speaker}> {text}', titled_turn: \"# {title}\\n<{speaker}> {text}\", between_turns: ' | '}",
        "min_messages=4",
    )
    _, documents = imported("conversations", samples / "reddit", tmp_path / "out", *settings)
    first, second = documents
    assert first["text"].startswith("# My bread is flat & dense\n<Speaker 1> I used")
    assert first["text"].endswith(
        "wrong? | <Speaker 2> How long did it rise? | <Speaker 1> Two hours. | <Speaker 2> Give it four. Ünlü — ja."
    )
    assert second["text"].encode()[: second["repeated_prefix"]].decode().endswith("<Speaker 1> Two hours. | ")


def test_wrong_formats_and_unknown_layouts_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"format: turn: {text} is missing; add it"):
        options_of("conversations", "format.turn='{author}'")
    path = write_lines(tmp_path / "a.jsonl", [{"text": "x", "id": 1}])
    with pytest.raises(InputError, match=r"a\.jsonl: no conversation in a layout that is known: it has id, text; say"):
        imported("conversations", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(
    messages=conversations(),
    between=st.sampled_from(["\n", " ", "\n\n", "—"]),
    min_messages=st.integers(1, 3),
    max_threads=st.integers(1, 6),
)
def test_a_marked_prefix_is_one_of_an_earlier_thread_and_ends_where_a_turn_begins(
    messages, between, min_messages, max_threads
):
    options = options_of(
        "conversations",
        f"format.between_turns={json.dumps(between)}",
        f"min_messages={min_messages}",
        f"max_threads={max_threads}",
    )
    items = list(grouped(("s", "t"), [asdict(message) for message in messages], options))
    documents = [item for item in items if isinstance(item, Document)]
    dropped = sum(item.records for item in items if isinstance(item, Dropped))
    assert sum(document.records for document in documents) + dropped == len(messages)
    for number, document in enumerate(documents):
        text = document.text.encode()
        prefix = text[: document.repeated_prefix]
        earlier = [other.text.encode() for other in documents[:number]]
        assert not prefix or any(other.startswith(prefix) for other in earlier)
        rest = text[len(prefix) :].decode()
        assert len(rest.split(between + "Speaker ")) == document.records
        assert rest.startswith("Speaker ")
    assert len({document.key for document in documents}) == len(documents)
