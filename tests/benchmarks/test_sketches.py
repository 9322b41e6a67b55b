import sketches


def test_figures_are_of_the_pairs_that_were_made():
    figures = sketches.measure(sketches.pairs(50, 200), rounds=1)
    assert figures["documents"] == 100
    assert figures["bytes_per_document"] == 512
    assert figures["largest_error"] < 0.02
    assert figures["estimate_ns_per_pair"] > 0
