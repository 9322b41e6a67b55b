import copy
import re

from pipeline.report import render


def test_the_headline_tells_pages_in_and_documents_out(figures, read_page):
    text = read_page(render(figures)).text
    assert "1,516 pages in" in text
    assert "1,200 documents out" in text
    assert "79.2 % of the pages kept" in text
    assert "2 files, 14 kB" in text


def test_each_step_tells_what_is_left_and_each_rule_its_toll_and_meaning(figures, read_page):
    text = read_page(render(figures)).text
    assert re.search(r"capture what the server answered 1,476 pages left, 97.4 % of all pages, −40 pages", text)
    assert re.search(r"http status the answer was not a page \(.*?\) 17 1.1 %", text)
    assert re.search(r"near duplicate a nearly equal document is kept 276 18.7 %", text)
    assert (
        "same record each record once, however often it was read 1,476 pages left, 97.4 % of all pages, 0 pages" in text
    )


def test_bars_are_drawn_to_scale(figures, read_page):
    page = read_page(render(figures))
    kept = [float(rect["width"]) for rect in page.every("rect") if rect["class"] == "kept" and rect["height"] == "10"]
    assert kept[:3] == [97.36, 97.36, 79.16]


def test_a_step_that_removed_nothing_does_not_open(figures, read_page):
    page = read_page(render(figures))
    steps = [attributes for attributes in page.every("summary") if attributes.get("class") == "step"]
    assert len(steps) == 2


def test_sums_that_hold_are_marked_for_every_file(figures, read_page):
    html = render(figures)
    text = read_page(html).text
    assert "✓ Every byte accounted for ✓ Every page accounted for 1 damaged range set aside" in text
    assert "a.warc.gz 9,000 8,900 0 100 ✓ bytes add up 1,000 800 200 ✓ pages add up" in text
    assert "Counted apart: 1,517 request, 2 warcinfo records. Damage: 1 range, 100 B." in text
    assert "✗" not in html


def test_a_sum_that_is_off_is_marked_at_its_file_and_on_top(figures, read_page):
    figures["inputs"][1]["padding"] = 9
    figures["inputs"][0]["published"] = 799
    text = read_page(render(figures)).text
    assert "✗ Bytes do not add up ✗ Pages do not add up" in text
    assert "b.warc.gz 5,000 4,990 9 0 ✗ bytes do not add up 516 400 116 ✓ pages add up" in text
    assert "a.warc.gz 9,000 8,900 0 100 ✓ bytes add up 1,000 799 200 ✗ pages do not add up" in text


def test_rules_that_do_not_explain_their_step_are_told(figures, read_page):
    figures["funnel"][2]["rules"] = {"near_duplicate": 270}
    assert "✗ 276 removed, but the rules account for 270." in read_page(render(figures)).text


def test_pages_given_up_are_told_on_top(figures, read_page):
    figures["totals"]["poisoned"] = 3
    assert "3 pages given up at a limit" in read_page(render(figures)).text


def test_of_many_files_the_faulty_ones_are_shown(figures, read_page):
    sound = figures["inputs"][0]
    figures["inputs"] = [sound | {"warc_path": f"sound-{i}.warc.gz"} for i in range(150)]
    figures["inputs"].append(sound | {"warc_path": "faulty.warc.gz", "captures": 1_001})
    text = read_page(render(figures)).text
    assert "faulty.warc.gz" in text
    assert "51 more files in stats.json" in text


def test_languages_domains_and_datasets_show_their_figures(figures, read_page):
    text = read_page(render(figures)).text
    assert "en 900 100 90.0 % 1.23 M near duplicate 99" in text
    assert "unknown 0 40 0.0 % 0 http status 17" in text
    assert "example.org 77 70 7 90.9 %" in text
    assert "RefinedWeb-English 900 1.23 M 1,372 1" in text
    assert "RefinedWeb-Europe/lang=de 300 999 3 2" in text


def test_histograms_show_every_bin_and_an_open_last_one(figures, read_page):
    text = read_page(render(figures)).text
    assert "100 to 2 k characters: 1,100 kept, 76 rejected" in text
    assert "2 k and more characters: 100 kept, 0 rejected" in text
    assert "0.5 to 1 score of the top language: 1,200 kept, 236 rejected" in text
    assert "1,000 documents stand alone and are left out here" in text
    assert "5–8: 7" in text
    assert "≥ 257: 3" in text


def test_columns_are_drawn_to_scale(figures, read_page):
    figures["histograms"] = {"text_chars": {"edges": [0, 1, 2], "counts": {"kept": [100, 50], "rejected": [0, 25]}}}
    rects = [
        rect for rect in read_page(render(figures)).every("rect") if rect["height"] != "10" and rect["width"] != "0"
    ]
    heights = [float(rect["height"]) for rect in rects if rect["height"] != "0"]
    assert heights == [158, 79, 39.5]


def test_processor_time_is_shown_where_it_was_measured(figures, read_page):
    assert "Processor time" not in render(figures)
    figures["cpu_seconds"] = {"by_stage": {"extract": 15.16, "visible": 5.0}}
    assert "extract 15.2 75.2 % 10.00" in read_page(render(figures)).text


HOSTILE = '<script>alert("1")</script>&amp;\u202e\ud800'


def test_names_from_the_web_are_text_wherever_they_stand(figures, read_page):
    figures["recipe"] = HOSTILE
    figures["languages"] = [HOSTILE]
    figures["inputs"][0]["warc_path"] = HOSTILE.replace("/", "")
    figures["funnel"][0]["stage"] = HOSTILE
    figures["funnel"][0]["rules"] = {HOSTILE: 40}
    figures["by_language"] = {HOSTILE: {"published": 1, "rejected": 1, "rules": {HOSTILE: 1}, "chars": 1}}
    figures["by_domain"][0]["domain"] = HOSTILE
    figures["datasets"][0]["name"] = HOSTILE
    figures["totals"]["other_records"] = {HOSTILE: 1}
    figures["histograms"]["text_chars"]["counts"] = {HOSTILE: [1, 2, 3]}
    html = render(figures)
    page = read_page(html)
    assert len(page.every("script")) == 1
    assert '<script>alert("1")</script>&amp;' in page.text
    assert html.encode("utf-8").decode("utf-8") == html


def test_nothing_is_loaded_from_anywhere(figures, read_page):
    page = read_page(render(figures))
    links = [attributes[key] for _, attributes in page.tags for key in ("href", "src", "srcset") if key in attributes]
    assert set(links) == {"#inputs"}
    assert {"id": "inputs"} in page.every("h2")
    assert not re.search(r"url\(|@import|https?:|fetch|XMLHttp", render(figures))
    (policy,) = [meta["content"] for meta in page.every("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")


def test_the_same_figures_give_the_same_bytes(figures):
    assert render(figures) == render(copy.deepcopy(figures))


def test_images_have_names_and_ids_are_unique(figures, read_page):
    page = read_page(render(figures))
    images = [svg for svg in page.every("svg") if svg.get("role") == "img"]
    assert [svg["aria-label"] for svg in images] == [
        "Length of the main text",
        "Score of the page's language",
        "Clusters of near-duplicates by size",
    ]
    decoration = [svg for svg in page.every("svg") if svg.get("role") != "img"]
    assert all(svg["aria-hidden"] == "true" for svg in decoration)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_an_empty_run_says_so(read_page):
    figures = {
        "format": 1,
        "recipe": "refinedweb",
        "languages": ["en"],
        "inputs": [],
        "totals": dict.fromkeys(
            ("captures", "published", "rejected", "bytes", "record_bytes", "padding_bytes", "damaged_bytes"), 0
        ),
        "funnel": [{"stage": "capture", "in": 0, "out": 0, "rules": {}}],
    }
    text = read_page(render(figures)).text
    assert "0 pages in" in text
    assert "– of the pages kept · 0 files, 0 B" in text
    assert "Nothing was removed." in text
    assert "Nothing was published." in text
    assert "0 documents stand alone; no two were alike." in text
