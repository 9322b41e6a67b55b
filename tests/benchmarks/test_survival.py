import json

from benchmarks.survival import good_urls, read_gold, survival
from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet


def test_good_pages_are_followed_to_their_end(sample, recipe_file, tmp_path):
    chosen = recipe.load(str(recipe_file))
    captures = json.loads((sample / "captures.json").read_text())
    by_kind = {capture["kind"]: capture["url"] for capture in captures if capture["file"] == "sample-00000.warc.gz"}
    curate(
        CurateJob(inputs=(str(sample / "sample-00000.warc.gz"),), output=tmp_path / "out", recipe=chosen),
        SerialEngine,
        Quiet(),
    )
    urls = [by_kind["article"], by_kind["repeated_lines"]] if "repeated_lines" in by_kind else [by_kind["article"]]
    figures = survival(tmp_path / "out", urls)
    assert figures["published"] + figures["copies"] == 1
    assert figures["lost"] == len(urls) - 1
    assert figures["share"] == 1 / len(urls)


def test_only_gold_that_passes_counts(recipe_file, tmp_path):
    good = (
        "The harbour lies behind the old mill, and every morning the boats go out before it is light.\n"
        "In the evening they come back with what they have caught, which is less from year to year.\n"
        "My grandfather mended nets for most of his life and never learned to swim.\n"
    )
    rows = [{"url": "http://a/", "gold": good}, {"url": "http://b/", "gold": "Too short."}, {"url": "http://c/"}]
    (tmp_path / "gold.jsonl").write_text("\n".join(map(json.dumps, rows)))
    gold = read_gold(tmp_path / "gold.jsonl")
    assert [url for url, _ in gold] == ["http://a/", "http://b/"]
    assert good_urls(gold, recipe.load(str(recipe_file))) == ["http://a/"]
