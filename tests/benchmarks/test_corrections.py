import json

import pyarrow as pa
import pyarrow.parquet as pq

from corrections import measure, read
from stages.lines import LineRules


def test_json_lines_are_cut_into_whole_pieces_and_tables_give_what_passed(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one two\nthree four five", "lang": "en"}))
    steps = pa.array([None, "quality", "line_corrections"], pa.string())
    table = pa.table({"text": ["kept", "dropped", "asked again"], "language": ["de"] * 3, "verdict_stage": steps})
    pq.write_table(table, tmp_path / "b.parquet")
    pages = read([tmp_path / "a.jsonl", tmp_path / "b.parquet"], 2)
    assert pages.column("text").to_pylist() == ["one two", "three four", "kept", "asked again"]
    assert pages.column("language").to_pylist() == ["en", "en", "de", "de"]


def test_what_is_touched_is_counted_by_language_and_rule():
    texts = ["MENU\nRead more about it\njoe@company.com is the address", "plain words", "3 Kommentare"]
    pages = pa.record_batch({"text": texts, "language": ["en", "en", "de"]})
    figures = measure(pages, LineRules())
    assert figures["by_language"]["en"]["by_rule"] == {"upper_case": 1}
    assert figures["by_language"]["de"]["by_rule"] == {"counter": 1}
    assert {key: figures["all"][key] for key in ("texts", "lines", "changed", "dropped", "emails", "ips")} == {
        "texts": 3,
        "lines": 5,
        "changed": 2,
        "dropped": 2,
        "emails": 1,
        "ips": 0,
    }
