"""Trees of messages, and the threads in them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mixtures.sources.threads import Message, choose, plant, threads


@st.composite
def conversations(draw):
    """Messages of which some answer an earlier one, some nobody, and some one that is not there."""
    n_messages = draw(st.integers(1, 14))
    messages = []
    for number in range(n_messages):
        above = [None, "gone", *(f"m{i}" for i in range(number))]
        parent = draw(st.sampled_from(above))
        text = draw(st.sampled_from(["a", "b\nc", "ü€", "{x}"]))
        messages.append(Message(id=f"m{number}", parent=parent, text=text, score=draw(st.integers(-2, 2))))
    return draw(st.permutations(messages))


@given(messages=conversations())
def test_each_message_without_replies_ends_one_thread_and_all_messages_appear(messages):
    found = list(threads(plant(messages)))
    parents = {message.parent for message in messages}
    assert sorted(path[-1].id for path in found) == sorted(m.id for m in messages if m.id not in parents)
    assert {message.id for path in found for message in path} == {message.id for message in messages}
    known = {message.id for message in messages}
    for path in found:
        assert path[0].parent not in known
        assert all(reply.parent == message.id for message, reply in pairwise(path))


@given(messages=conversations())
def test_the_order_of_the_input_does_not_matter_and_the_best_reply_comes_first(messages):
    ids = [[message.id for message in path] for path in threads(plant(messages))]
    assert ids == [[message.id for message in path] for path in threads(plant(sorted(messages, key=lambda m: m.id)))]
    forest = plant(messages)
    for replies in forest.replies.values():
        assert replies == sorted(replies, key=lambda message: (-message.score, message.id))


@given(messages=conversations(), min_messages=st.integers(1, 4), max_threads=st.none() | st.integers(1, 5))
def test_a_message_is_new_once_told_afterwards_or_dropped(messages, min_messages, max_threads):
    chosen = choose(plant(messages), min_messages=min_messages, max_threads=max_threads)
    assert len(chosen.threads) <= (max_threads or len(messages))
    told = set()
    for path, n_told in chosen.threads:
        assert len(path) >= min_messages
        assert [message.id in told for message in path] == [i < n_told for i in range(len(path))]
        told |= {message.id for message in path}
    assert len(told) + chosen.dropped.total() == len(messages)


def test_orphans_and_circles_are_counted():
    messages = [Message(id="a", parent=None, text="x"), Message(id="b", parent="gone", text="x")]
    circle = [
        Message(id="c", parent="d", text="x"),
        Message(id="d", parent="c", text="x"),
        Message(id="e", parent="d", text="x"),
    ]
    itself = Message(id="f", parent="f", text="x")
    forest = plant([*messages, *circle, itself])
    assert ([root.id for root in forest.roots], forest.orphans, forest.circular) == (["a", "b"], 1, 4)


def test_a_chain_of_many_messages_is_no_recursion():
    chain = [Message(id=str(i), parent=str(i - 1) if i else None, text="x") for i in range(20_000)]
    (path,) = threads(plant(chain))
    assert len(path) == 20_000
