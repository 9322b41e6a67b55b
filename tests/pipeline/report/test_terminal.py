import io
import re

from rich.console import Console

from pipeline.report import funnel, print_funnel


def test_the_funnel_in_a_log_is_plain_text_with_one_line_a_step(figures, printed):
    lines = [line.rstrip() for line in printed(figures).splitlines()]
    assert lines == [
        "step         pages left  of all                        removed  mostly by",
        "capture           1,476  97.4 %  ███████████████████▒      −40  content type 23, http status 17",
        "same record       1,476  97.4 %  ███████████████████         0",
        "minhash           1,200  79.2 %  ████████████████▒▒▒      −276  near duplicate 276",
        "1,516 pages in, 1,200 documents out (79.2 %), 2 files",
        "✓ crawl/a.warc.gz",
        "    9,000 bytes = 8,900 records + 0 padding + 100 damaged",
        "    1,000 pages = 800 published + 200 rejected",
        "✓ crawl/b.warc.gz",
        "    5,000 bytes = 4,990 records + 10 padding + 0 damaged",
        "    516 pages = 400 published + 116 rejected",
        "✓ all files",
        "    14,000 bytes = 13,890 records + 10 padding + 100 damaged",
        "    1,516 pages = 1,200 published + 316 rejected",
    ]


def test_a_sum_that_is_off_is_told_in_the_funnel(figures, printed):
    figures["totals"]["rejected"] = 315
    assert "✗ all files\n" in printed(figures)
    assert "1,516 pages = 1,200 published + 315 rejected" in printed(figures)


def test_of_many_files_only_those_that_are_off_are_told(figures, printed):
    figures["inputs"] = [figures["inputs"][0] | {"warc_path": f"{n}.warc.gz"} for n in range(20)]
    figures["inputs"][7]["padding"] = 1
    text = printed(figures)
    assert "✗ 7.warc.gz" in text
    assert "8.warc.gz" not in text


def test_the_funnel_is_written_in_ascii_where_the_terminal_has_nothing_else(figures):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_funnel(figures, stream)
    stream.seek(0)
    text = stream.read()
    assert "minhash           1,200  79.2 %  ################---      -276  near duplicate 276" in text
    assert "ok: all files" in text


def test_the_funnel_is_coloured_on_a_terminal(figures):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard")
    console.print(funnel(figures))
    assert re.search(r"\x1b\[33m *−276\x1b\[0m", console.file.getvalue())


def test_brackets_in_a_rule_are_not_taken_for_colours(figures, printed):
    figures["funnel"][2]["rules"] = {"error:[red]Boom[/red]": 276}
    assert "error:[red]Boom[/red] 276" in printed(figures)


def test_an_empty_run_has_no_shares(figures, printed):
    figures |= {"inputs": [], "totals": dict.fromkeys(figures["totals"], 0) | {"other_records": {}}}
    figures["funnel"] = [{"stage": "capture", "in": 0, "out": 0, "rules": {}}]
    lines = printed(figures).splitlines()
    assert lines[1].split() == ["capture", "0", "-", "0"]
    assert lines[2].rstrip() == "0 pages in, 0 documents out, 0 files"
