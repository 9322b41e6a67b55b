from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report import render

counts = st.integers(0, 10**15)
names = st.text(max_size=12)


def bins(*series):
    counted = st.lists(counts, min_size=2, max_size=2)
    return st.fixed_dictionaries(
        {"edges": st.just([0.5, 0.75, 1.0]), "counts": st.dictionaries(st.sampled_from(series), counted)}
    )


def samples(**more):
    few = {
        name: st.lists(st.fixed_dictionaries({name[:-1]: names, "n_documents": counts}), max_size=3)
        for name in ("languages", "domains")
    }
    told = {"n_documents": counts, "n_domains": counts, "url": st.none() | names, "text": st.none() | st.text()}
    return st.lists(st.fixed_dictionaries(told | few | more), max_size=15)


removals = st.lists(
    st.fixed_dictionaries(
        {"name": names, "pages": counts, "passage_bytes": counts, "removed": st.dictionaries(names, counts, max_size=3)}
    ),
    max_size=15,
)
deduplication = st.fixed_dictionaries(
    {
        "similarity": bins("edges", "indexed"),
        "cluster_size": st.dictionaries(st.integers(0, 10**9).map(str), counts, max_size=3),
        "passage_bytes": bins("cut"),
        "steps": st.lists(names, max_size=3),
        "removal": st.fixed_dictionaries({"language": removals, "domain": removals}),
        "top_clusters": samples(representative_id=names),
        "top_passages": samples(first_id=names, n_cuts=counts, length=counts),
    }
)


@st.composite
def odd_figures(draw):
    """Whatever a run could leave: nothing at all, sums that are off, steps that give pages, names of any kind."""
    sums = ("captures", "published", "rejected")
    edges = sorted(draw(st.lists(st.floats(-1e12, 1e12), max_size=30)))
    n_bins = max(len(edges) - draw(st.integers(0, 1)), 0)
    series = st.lists(counts, min_size=n_bins, max_size=n_bins)
    tolls = st.dictionaries(names, counts, max_size=4)
    file = st.fixed_dictionaries(
        {"warc_path": names} | dict.fromkeys(("size", "records", "padding", "damaged", *sums), counts)
    )
    byte_sums = ("bytes", "record_bytes", "padding_bytes", "damaged_bytes", "damaged_ranges")
    return {
        "format": 1,
        "recipe": draw(names),
        "languages": draw(st.lists(names, max_size=3)),
        "inputs": draw(st.lists(file, max_size=3)),
        "totals": {key: draw(counts) for key in (*sums, *byte_sums)} | {"other_records": draw(tolls)},
        "funnel": draw(
            st.lists(st.fixed_dictionaries({"stage": names, "in": counts, "out": counts, "rules": tolls}), max_size=5)
        ),
        "by_language": draw(
            st.dictionaries(
                names,
                st.fixed_dictionaries({"published": counts, "rejected": counts, "rules": tolls, "chars": counts}),
                max_size=3,
            )
        ),
        "by_domain": draw(st.lists(st.fixed_dictionaries({"domain": names} | dict.fromkeys(sums, counts)), max_size=3)),
        "histograms": {
            "text_chars": {"edges": edges, "counts": draw(st.dictionaries(names, series, max_size=3))},
            "cluster_size": draw(st.dictionaries(st.integers(0, 10**9).map(str), counts, max_size=5)),
        },
        "datasets": draw(
            st.lists(
                st.fixed_dictionaries({"name": names} | dict.fromkeys(("documents", "chars", "shards"), counts)),
                max_size=3,
            )
        ),
        "deduplication": draw(st.none() | deduplication),
        "cpu_seconds": draw(
            st.none() | st.fixed_dictionaries({"by_stage": st.dictionaries(names, st.floats(0, 1e9), max_size=3)})
        ),
    }


@settings(max_examples=60, deadline=None)
@given(figures=odd_figures())
def test_any_run_gives_a_sound_page_and_funnel(read_page, printed, figures):
    page = read_page(render(figures))
    widths = [float(rect[side]) for rect in page.every("rect") for side in ("width", "height")]
    assert all(width >= 0 for width in widths)
    assert len(page.every("script")) == 1
    captures = figures["totals"]["captures"]
    assert f"{captures:,} page{'' if captures == 1 else 's'} in" in page.text
    assert len(printed(figures).splitlines()) >= 4 + len(figures["funnel"])
