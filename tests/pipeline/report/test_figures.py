import pytest

from pipeline.report.figures import compact, loss, share, size


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (share(0, 5), "0.0 %"),
        (share(1, 10**6), "< 0.1 %"),
        (share(10**6 - 1, 10**6), "> 99.9 %"),
        (share(5, 5), "100.0 %"),
        (share(1, 0), "–"),
        (compact(999), "999"),
        (compact(999_950), "1 M"),
        (compact(999_400), "999 k"),
        (compact(0.65), "0.65"),
        (size(9_356_980), "9.36 MB"),
        (size(12), "12 B"),
        (loss(0), "0"),
        (loss(1_234), "−1,234"),
        (loss(-3), "+3"),
    ],
)
def test_figures_are_written_for_people(written, expected):
    assert written == expected
