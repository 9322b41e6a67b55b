"""Look-ahead and look-back of a forward-only source, against the bytes themselves."""

from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.byte_source import WINDOW_BYTES, ByteSource

STEPS = st.lists(st.tuples(st.sampled_from(["read", "peek", "skip", "mark", "rewind"]), st.integers(0, 300)))


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 50), STEPS)
def test_any_steps_give_the_bytes_at_the_position(data: bytes, most: int, steps: list[tuple[str, int]]) -> None:
    stream = BytesIO(data)
    source = ByteSource(lambda n: stream.read(min(n, most)), look_back_bytes=1000)
    at = marked = 0
    source.mark()
    for step, n in steps:
        if step == "peek":
            assert source.peek(n) == data[at : at + n]
        elif step == "read":
            assert source.read(n) == data[at : at + n]
            at = min(at + n, len(data))
        elif step == "skip":
            assert source.skip(n) == len(data[at : at + n])
            at = min(at + n, len(data))
        elif step == "mark":
            source.mark()
            marked = at
        else:
            at = marked + (at - marked) * n // 300
            source.rewind(at)
        assert source.position == at
        assert source.ended() == (at == len(data))


def test_rewind_goes_no_further_back_than_it_may() -> None:
    source = ByteSource(BytesIO(bytes(range(250)) * 4000).read, look_back_bytes=100)
    source.mark()
    source.skip(900_000)
    source.rewind(0)
    assert source.position == 899_900
    assert source.read(1) == bytes([899_900 % 250])


@settings(deadline=None)
@given(st.integers(0, 3 * WINDOW_BYTES), st.integers(1, 9))
def test_find_sees_what_lies_across_windows(before: int, most: int) -> None:
    data = bytes(before) + b"needle" + bytes(50)
    stream = BytesIO(data)

    def search(window: bytes) -> int | None:
        at = window.find(b"needle")
        return None if at < 0 else at

    source = ByteSource(lambda n: stream.read(min(n, most << 12)), base=7)
    assert source.find(search, margin=6)
    assert source.position == 7 + before
    assert source.read(6) == b"needle"
    assert not source.find(search, margin=6)
    assert source.position == 7 + len(data)


def test_skip_any_of_stops_at_the_first_other_byte() -> None:
    source = ByteSource(BytesIO(b"\0\n" * 100_000 + b"x\0").read)
    assert source.skip_any_of(b"\0\r\n") == 200_000
    assert source.skip_any_of(b"\0\r\n") == 0
    assert source.read(2) == b"x\0"
