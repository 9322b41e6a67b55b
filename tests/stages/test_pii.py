import pyarrow as pa
import pytest
from datatrove.pipeline.formatters.pii import PIIFormatter
from hypothesis import given
from hypothesis import strategies as st

from stages.pii import PiiRules, mask

MAIL, IP = PiiRules().email_replacement, PiiRules().ip_replacement


def masked(text: str, rules: PiiRules | None = None) -> tuple[str, int, int]:
    result = mask(pa.array([text], pa.string()), rules or PiiRules())
    return result.text[0].as_py(), int(result.n_emails[0]), int(result.n_ips[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to joe.bloggs+x@mail.company.co.uk.", f"Write to {MAIL}."),
        ("<mailto:joe@company.com>, 'ann@company.com'", f"<mailto:{MAIL}>, '{MAIL}'"),
        ("jörg@müller.de", MAIL),
        ("a_b@x-y.org b@c.de", f"{MAIL} {MAIL}"),
        ("a@b.com@c.com", f"a@{MAIL}"),
    ],
)
def test_addresses_are_masked(text: str, expected: str) -> None:
    assert masked(text) == (expected, expected.count(MAIL), 0)


@pytest.mark.parametrize(
    "text",
    [
        "@app.route",
        "joe@localhost",
        "pip@1.2",
        "3@4.50 each",
        "joe @ company.com",
        "@",
        "a@",
        "a@.com",
        "a@b..com",
        MAIL,
    ],
)
def test_what_is_no_address_stays(text: str) -> None:
    assert masked(text) == (text, 0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 8.8.8.8.", f"from {IP}."),
        ("http://93.184.216.34:80/", f"http://{IP}:80/"),
        ("8.8.8.8, 1.1.1.1", f"{IP}, {IP}"),
        ("x8.8.8.8", f"x{IP}"),
    ],
)
def test_public_ips_are_masked(text: str, expected: str) -> None:
    assert masked(text) == (expected, 0, expected.count(IP))


@pytest.mark.parametrize(
    "text",
    [
        "192.168.0.1",
        "10.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "256.1.1.1",
        "1.2.3.4.5",
        "01.02.03.04",
        "10.0.19041.1",
        "1.2.3",
        IP,
    ],
)
def test_private_and_other_numbers_stay(text: str) -> None:
    assert masked(text) == (text, 0, 0)


def test_settings() -> None:
    text = "joe@company.com 8.8.8.8 10.0.0.1"
    assert masked(text, PiiRules(emails=False)) == (f"joe@company.com {IP} 10.0.0.1", 0, 1)
    assert masked(text, PiiRules(ips=False)) == (f"{MAIL} 8.8.8.8 10.0.0.1", 1, 0)
    assert masked(text, PiiRules(public_only=False)) == (f"{MAIL} {IP} {IP}", 1, 2)
    own = PiiRules(email_replacement=r"\1", ip_replacement="\\g<0>")
    assert masked(text, own) == (r"\1 \g<0> 10.0.0.1", 1, 1)


def test_batches_of_any_shape() -> None:
    result = mask(pa.array(["x", None, "a@b.de", "", "8.8.8.8"])[1:])
    assert result.text.to_pylist() == [None, MAIL, "", IP]
    assert (result.n_emails.tolist(), result.n_ips.tolist()) == ([0, 1, 0, 0], [0, 0, 0, 1])
    assert mask(pa.array([], pa.string())).text.equals(pa.array([], pa.string()))
    assert mask(pa.array(["a@b.de"], pa.large_string())).text.equals(pa.array([MAIL], pa.large_string()))


def test_a_long_run_without_an_address_takes_no_time() -> None:
    text = "a" * 200_000 + "@" + "a." * 200_000 + "@" * 200_000 + "@b." * 50_000
    assert masked(text) == (text, 0, 0)


@pytest.mark.parametrize(("name", "domain"), [(255, 200), (256, 10), (10, 256), (10, 300)])
def test_an_address_has_bounds(name: int, domain: int) -> None:
    text = "a" * name + "@" + "b" * (domain - 3) + ".de"
    assert masked(text)[1] == (max(name, domain) < 256)


PIECES = st.sampled_from(["joe@company.com", "8.8.8.8", "10.0.0.1", "@", ".", "1.", "é", " ", "-", "'", "\n"])
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=10).map("".join)


@given(st.lists(st.none() | TEXTS, max_size=4))
def test_masking_twice_changes_nothing_more(texts: list[str | None]) -> None:
    once = mask(pa.array(texts, pa.string()))
    twice = mask(once.text)
    assert twice.text.equals(once.text)
    for before, after, n in zip(texts, once.text.to_pylist(), once.n_emails + once.n_ips, strict=True):
        assert (before == after) == (n == 0)


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}(?:[.+_-][a-z0-9]{1,4})?", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z0-9]{1,5}(?:-[a-z0-9]{1,3})?(?:\.[a-z0-9]{1,4})?\.[a-z]{2,3}", fullmatch=True)
OCTETS = st.integers(0, 255)
WORDS = st.one_of(
    st.builds("{}@{}".format, NAMES, DOMAINS),
    st.builds("{}.{}.{}.{}".format, OCTETS, OCTETS, OCTETS, OCTETS),
    st.from_regex(r"[A-Za-z,;:()]{0,8}", fullmatch=True),
)


@given(st.lists(WORDS, max_size=8).map(" ".join))
def test_as_datatrove_does(text: str) -> None:
    """On addresses as they are usually written, with one replacement each."""
    theirs = PIIFormatter(email_replacement=MAIL, ip_replacement=IP).format(text)
    assert masked(text)[0] == theirs
