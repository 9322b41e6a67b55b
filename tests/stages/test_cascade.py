import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stages.cascade import DUPLICATE_STEPS, FUNNEL, Step, first_verdict
from stages.schema import VERDICT
from stages.verdicts import Verdict, with_verdicts

LEAST = st.lists(st.integers(0, 5), max_size=4)
VALUES = st.lists(st.integers(0, 5), max_size=12)


def at_least(name, least, seen=None):
    """A step that drops values below `least`, and notes the rows that it was asked about."""

    def apply(batch):
        values = batch.column("value").to_pylist()
        if seen is not None:
            seen.append(values)
        verdicts = [Verdict("few", value, least) if value < least else None for value in values]
        return with_verdicts(batch, name, verdicts)

    return Step(name, apply)


@given(VALUES, LEAST)
def test_the_first_step_that_fires_decides(values, leasts):
    steps = [at_least(f"step_{i}", least) for i, least in enumerate(leasts)]
    verdicts, names = first_verdict(pa.record_batch({"value": pa.array(values, pa.int64())}), steps)
    assert (verdicts.type, names.type) == (VERDICT, pa.string())
    fired = [next((i for i, least in enumerate(leasts) if value < least), None) for value in values]
    assert names.to_pylist() == [None if i is None else f"step_{i}" for i in fired]
    assert verdicts.to_pylist() == [
        None if i is None else Verdict("few", value, leasts[i])._asdict()
        for i, value in zip(fired, values, strict=True)
    ]


def test_later_steps_are_not_asked_about_dropped_rows():
    seen = []
    first_verdict(pa.record_batch({"value": [1, 5, 3]}), [at_least("a", 2, seen), at_least("b", 4, seen)])
    assert seen == [[1, 5, 3], [5, 3]]


def test_the_funnel_names_each_step_once_and_copies_last():
    assert len(set(FUNNEL)) == len(FUNNEL)
    assert FUNNEL[-len(DUPLICATE_STEPS) - 1 :] == (*DUPLICATE_STEPS, "substrings")
