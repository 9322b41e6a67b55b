"""Near-duplicates of the real pages, against the similarity of every pair, counted on the texts of the run."""

from collections import defaultdict

import pyarrow.parquet as pq
import pytest

from tests.pipeline.real_run import NEAR, roots, searched, similar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

THRESHOLD = 0.75


@pytest.fixture(scope="module")
def compared(real_pages):
    """Pages that the search saw, in order."""
    return searched(real_pages)


@pytest.fixture(scope="module")
def truth(compared):
    """J of every pair of one language with J ≥ .75."""
    language = {page.id: page.language for page in compared}
    return {pair: j for pair, j in similar(compared, THRESHOLD).items() if language[pair[0]] == language[pair[1]]}


@pytest.fixture(scope="module")
def clusters(real_run):
    """Rows of the table of clusters by id."""
    rows = pq.read_table(real_run[0] / "dedup/clusters.parquet").to_pylist()
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_pairs_from_08_on_are_in_one_cluster(compared, truth, clusters):
    near = [pair for pair, j in truth.items() if j >= 0.8]
    found = [pair for pair in near if all(i in clusters for i in pair) and len({of(clusters, i) for i in pair}) == 1]
    recall = len(found) / len(near)
    least = min(row["similarity"] for row in clusters.values())
    print(f"{len(compared)} pages, {len(near)} pairs at J ≥ .8, recall {recall:.4f}, least similarity {least:.4f}")
    assert len(near) >= 30
    assert recall >= 0.995


def of(clusters, page_id):
    return clusters[page_id]["cluster_id"]


def test_every_member_has_a_neighbour_as_alike_as_the_table_says(truth, clusters):
    """On exact sets: no edge joins a pair below .75, and the similarity printed is that of a pair of the cluster."""
    alike = defaultdict(set)
    for (earlier, later), j in truth.items():
        for one, other in ((earlier, later), (later, earlier)):
            if other in clusters and one in clusters and of(clusters, one) == of(clusters, other):
                alike[one].add(j)
    assert len(clusters) > 80
    for page_id, row in clusters.items():
        assert row["similarity"] >= THRESHOLD
        assert row["similarity"] in alike[page_id], page_id


def test_a_cluster_hangs_together_by_verified_pairs_and_its_first_page_stays(compared, truth, clusters):
    place = {page.id: number for number, page in enumerate(compared)}
    members = defaultdict(list)
    for page_id in sorted(clusters, key=place.__getitem__):
        members[of(clusters, page_id)].append(page_id)
    for first, *others in members.values():
        row = clusters[first]
        assert (row["cluster_id"], row["representative_id"], row["cluster_size"]) == (first, first, 1 + len(others))
        reached, grown = {first}, True
        while grown:
            found = {pair[1 - i] for pair in truth for i in (0, 1) if pair[i] in reached} & set(others)
            grown = bool(found - reached)
            reached |= found
        assert reached == {first, *others}
    removed = {page.id: page for page in compared if page.stage == NEAR}
    assert set(removed) == {page_id for _, *others in members.values() for page_id in others}
    for page_id, page in removed.items():
        assert (page.kept, page.value) == (of(clusters, page_id), clusters[page_id]["similarity"])


def test_pairs_of_the_gold_list_are_together(real_pages, shared_data):
    """Of pairs with J ≥ .8 by the gold texts whose two pages were deduplicated; copies count with what was kept."""
    rows = [line.split("\t") for line in (shared_data / "gold" / "dup_pairs.tsv").read_text().splitlines()[1:]]
    ids, root = defaultdict(set), roots(real_pages)
    for page in real_pages:
        ids[page.url].add(page.id)
    near = [(a, b) for a, b, _, jaccard, _ in rows if float(jaccard) >= 0.8 and ids[a] and ids[b]]
    apart = [pair for pair in near if len({root[page_id] for url in pair for page_id in ids[url]}) != 1]
    print(f"{len(near)} pairs of the gold list with J ≥ .8 were deduplicated, {len(apart)} of them apart: {apart}")
    assert len(near) >= 40
    assert apart == []
