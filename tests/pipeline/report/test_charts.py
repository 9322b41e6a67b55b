import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts import nice_scale


@given(st.integers(0, 10**18))
def test_an_axis_covers_its_values_in_at_most_five_round_steps(largest):
    top, step = nice_scale(largest)
    assert top >= largest
    assert top % step == 0
    assert 1 <= top // step <= 5
    assert re.fullmatch(r"[125]0*", str(step))
