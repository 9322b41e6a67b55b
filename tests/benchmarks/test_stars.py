import stars


def test_figures_are_those_of_the_right_components():
    """`measure` compares the labels with union-find's itself."""
    figures = stars.measure(stars.families(3000, seed=1), n_partitions=3)
    assert 2500 < figures["nodes"] <= 3000
    assert figures["links"] == 3 * figures["nodes"]
    assert 2 <= figures["rounds"] <= 6
    assert 50 < figures["peak_bytes_per_row"] < 300
