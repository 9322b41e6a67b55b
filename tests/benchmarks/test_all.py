import json
import subprocess
import sys

import pytest

import render
from all import BENCHMARKS, DOCUMENT, refreshed

PART = {
    "pages": 100,
    "ratio": 4.25,
    "ratio_with_output": 3.9,
    "falconmix": {
        "ms_per_page": 20.0,
        "by_work": {"read": 1.5, "pages": 18.5},
        "apart": {"write": 0.5, "publish": 1.0},
        "start_up_s": 30.0,
    },
    "datatrove": {"ms_per_page": 85.0, "by_work": {"read": 2.0, "extract": 83.0}, "start_up_s": 12.0},
}
CURATION = PART | {
    "peer": {"trafilatura": "1.11.0", "words": "spacy"},
    "responses": 100,
    "kept_by_both": 70,
    "same_decisions": 0.95,
    "same_text": 0.9,
    "same_text_untidied": 0.8,
    "causes": {"texts differ": 5},
    "falconmix_keeps": 75,
    "datatrove_keeps": 70,
}
CASCADE = {
    "pages": 100,
    "survivors_with_gates": 80,
    "survivors_without_gates": 80,
    "lost": 0,
    "lost_at_most": 0.0367,
    "stopped_early": {"early_language": 9},
    "doomed": 0.65,
    "doomed_as_given": 0.2,
    "ms_per_page": {"with_gates": {"surviving": 15.0, "doomed": 5.0, "as_given": 13.0, "all": 8.5}},
    "ratio": 1.5,
    "ratio_as_given": 1.1,
}


def test_every_benchmark_has_its_part_in_the_document_and_its_program():
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, benchmark in BENCHMARKS.items():
        assert f"<!-- begin {name} -->\n```\n{benchmark.command}\n```\n" in document
        assert (DOCUMENT.parent.parent / benchmark.command.split()[1]).exists()


def test_parts_are_written_anew_and_the_rest_is_left_alone():
    before = "# Title\n\nprose\n\n<!-- begin cascade -->\nold\n<!-- end cascade -->\n\n<!-- begin langid -->\n"
    after = refreshed(before, {"cascade": CASCADE})
    assert after.startswith("# Title\n\nprose\n\n<!-- begin cascade -->\n```\npython benchmarks/cascade.py ")
    assert after.endswith("\n<!-- end cascade -->\n\n<!-- begin langid -->\n")
    assert "old" not in after
    assert refreshed(after, {"cascade": CASCADE}) == after
    with pytest.raises(ValueError, match="no part for curation"):
        refreshed(before, {"curation": CURATION})


def test_both_sides_stand_beside_each_other():
    text = render.curation(CURATION)
    assert "| reading | 1.50 | 2.00 |" in text
    assert "| page: early gates, extraction, language | 18.50 | 83.00 |" in text
    assert "driver" not in text
    assert "| **all** | **20.00** | **85.00** |" in text
    assert "| apart: write, deduplicate, publish | 1.50 |  |" in text
    assert "**ratio 4.25**" in text
    assert "**same decision on 95.00 %**" in text
    assert "| texts differ | 5 |" in text
    doomed = render.curation(CURATION | {"as_given": PART, "doomed": 0.65, "ratio": 6.5})
    assert "**ratio 4.25**" in doomed and "**ratio 6.50**" in doomed
    assert "| reading | 1.50 | 2.00 | 1.50 | 2.00 |" in doomed


def test_losses_of_the_gates_are_shown_with_their_bound():
    text = render.cascade(CASCADE)
    assert "**0 lost**, which is at most 3.67 % of survivors" in text
    assert "| with gates | 15.00 | 5.00 | 13.00 | 8.50 |" in text


def test_deduplication_shows_ratios_costs_and_recall():
    side = {"search_s": 2.0, "start_up_s": 1.5, "documents": 1000, "kept": 800}
    text = render.dedup(
        {
            "documents": 1000,
            "mean_words": 505.4,
            "text_bytes": 3 * 10**6,
            "planted": {"documents": 1000, "pairs": 300, "passages": 90},
            "similar_pairs": 50,
            "goals": {"search_vs_datatrove": 10.0},
            "search_vs_datatrove": 3.0,
            "recall": 1.0,
            "same_spans": True,
            "signature_s": 0.02,
            "rensa": {"text_s": 0.3, "words_s": 0.05, "update_s": 0.04, "batch_s": 0.03},
            "search": {"preset": "refinedweb", **side},
            "datatrove": {"spacy": {"signature_s": 5.0, **side, "search_s": 6.0, "recall": 0.975}},
            "substrings": {"words_covered": 12345, "falconmix_s": 0.5, "pydivsufsort_s": 1.75},
        }
    )
    assert "| `search_vs_datatrove` | **3.0** | 10 |" in text
    assert "| **falconmix, from the text** | 20.0 |" in text
    assert "| datatrove, words by spaCy | 5,000.0 |" in text
    assert "| **falconmix, `refinedweb`** | 2,000.0 | 1.0000 | 1,000 | 800 | 1.5 |" in text
    assert "| datatrove, words by spaCy | 6,000.0 | 0.9750 | 1,000 | 800 | 1.5 |" in text
    assert "| exact substrings, 12,345 words covered | CPU s |" in text
    assert "the same words covered" in text


def test_loader_and_schedule_show_speeds_and_budgets():
    side = {"tokens_per_cpu_s": 170.8e6, "tokens_per_s": 50e6, "us_per_sequence": 12.0}
    row = {"context": 2048, "sequences": 1000, "falconmix": side, "memmap": side, "ratio": 0.24}
    demo = {"loader_tokens_per_cpu_s": 4.2e6, "step_tokens_per_cpu_s": 19_000.0, "ratio": 221.0}
    store = {"latency_ms": 50.0, "at_once": 64, "opening_s": 2.0, "windows_per_s": 932.4, "tokens_per_s": 1.9e6}
    text = render.loader({"shards": 448, "contexts": [row], "demo": demo, "store": store})
    assert "after 50 ms, by ranges, 64 at once: 932 windows of 2,048 tokens a second." in text
    assert "| 2,048 | 170.8 | 12.0 | 170.8 | 12.0 | 0.24 |" in text
    assert "given 4.2 M tokens a CPU second and trains on 0.019 M: **221 times**" in text
    seek = {"first_ms": 4.2, "min_ms": 0.01, "median_ms": 0.013, "p99_ms": 0.02, "max_ms": 8.0, "max_cpu_ms": 0.25}
    stage = {"stage": "one", "context": 4096, "sequences": 62, "tokens": 253_952, "budget": 250_000, "over": 3_952}
    whole = {"sequences": 62, "shards": 100_000, "tokens_in_shards": 4.14e12, "opening_s": 0.4}
    text = render.schedule(whole | {"seek": seek, "stages": [stage]})
    assert "62 sequences over 100,000 token files of 4.14 T tokens, opened in 0.4 s." in text
    assert "| 4.200 | 0.010 | 0.013 | 0.020 | 8.000 | 0.250 |" in text
    assert "| one | 4,096 | 62 | 253,952 | 3,952 |" in text


def test_steps_on_a_gpu_show_what_failed_too():
    done = {"variant": "falconmix sdpa compiled", "ms": 1234.5, "tokens_per_s": 13_271.2, "mfu": 0.515}
    done |= {"peak_bytes": 61.2e9, "first_loss": 11.0824}
    failed = {"variant": "transformers sdpa eager", "error": "OutOfMemoryError: too much"}
    text = render.trainer_gpu(
        {"device": "a card", "torch": "2.13", "blocks": 8, "hidden": 4096, "parameters": 1_675_624_448}
        | {"mfu_of": 989.4e12, "convention": "by hand"}
        | {"contexts": [{"context": 8192, "variants": [done, failed], "ratio": 1.345}]}
    )
    assert "| 8,192 | falconmix sdpa compiled | 1,234.5 | 13,271 | 51.5% | 61.2 | 11.0824 |" in text
    assert "| transformers sdpa eager | OutOfMemoryError: too much |  |  |  |  |" in text
    assert "MFU of 989.4 TFLOP/s: by hand." in text and "**8,192: 1.34**" in text


def test_what_needs_a_gpu_is_left_out_without_one(repository, monkeypatch, capsys):
    import all as every

    assert [name for name, benchmark in BENCHMARKS.items() if benchmark.gpu] == ["trainer-gpu"]
    monkeypatch.setattr(every, "has_gpu", lambda: False)
    monkeypatch.setattr(every, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(every, "DOCUMENT", repository / "docs" / "nothing.md")
    monkeypatch.setattr(sys, "argv", ["all.py", "--only", "trainer-gpu"])
    with pytest.raises(FileNotFoundError):
        every.main()
    assert "trainer-gpu: left out, there is no GPU here" in capsys.readouterr().out


def test_rendering_alone_runs_nothing(repository, tmp_path):
    done = subprocess.run(
        [sys.executable, "benchmarks/all.py", "--only", "--help"], capture_output=True, text=True, cwd=repository
    )
    assert done.returncode == 0
    assert "equal-words" in done.stdout


def test_figures_of_a_real_program_can_be_shown(repository, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one two\nthree four five", "lang": "en"}))
    line = [sys.executable, "benchmarks/corrections.py", "--input", str(tmp_path), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=repository, check=True)
    text = render.corrections(json.loads(done.stdout.splitlines()[-1]))
    assert "| 1 | 0.0 % | 0.00 % | 0.00 % |" in text
