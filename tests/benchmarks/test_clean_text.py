import json

from benchmarks.clean_text import measure, print_figures, read
from pipeline import recipe

# 60 words each.
PROSE = """The miller told us that the wheel had turned through the whole of the winter.
Nobody in our village could remember such a frost, and the oldest were often asked.
When at last it thawed, the river carried away two bridges and part of a barn.
We mended what we could before Easter and left all other things to grandchildren."""
FURNITURE = PROSE.rsplit(" ", 2)[0] + "\nSIGN IN"
REPEATED = "\n".join(["auf und"] * 30)


def texts(tmp_path, *rows):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "lang": language}) for text, language in rows))
    return [path]


def test_texts_are_cut_into_whole_pieces_and_other_languages_left_out(tmp_path):
    files = texts(tmp_path, ("one two\nthree four five", "en"), ("jeden dva", "sk"))
    assert read(files, 2).column("text").to_pylist() == ["one two", "three four"]
    assert read(files, 3, whole_lines=True).column("text").to_pylist() == ["one two\nthree four five"]


def test_the_first_rule_that_fires_is_counted_by_language(tmp_path, capsys):
    files = texts(tmp_path, (PROSE, "en"), (FURNITURE, "en"), (REPEATED, "en"), (REPEATED, "de"))
    pages = read(files, 60)
    figures = measure(pages, recipe.load("refinedweb"))
    assert list(figures) == ["en", "de"]
    assert figures["en"]["rules"] == figures["de"]["rules"] == {"repetition:duplicate_lines": 1}
    assert (figures["en"]["pieces"], figures["en"]["dropped_share"]) == (3, 1 / 3)
    assert (figures["en"]["words"], figures["en"]["words_left"]) == (120, 118)
    fineweb = measure(pages, recipe.load("fineweb"))
    assert (fineweb["en"]["in_recipe"], fineweb["de"]["in_recipe"]) == (True, False)
    print_figures("fineweb", fineweb)
    assert "\nde*" in capsys.readouterr().out
