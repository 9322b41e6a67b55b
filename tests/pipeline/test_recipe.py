import pytest

from pipeline import recipe
from pipeline.errors import UsageError
from stages.c4 import C4Rules
from stages.cascade import FUNNEL
from stages.language import ELEVEN
from stages.minhash import PRESETS
from stages.pii import PiiRules


@pytest.fixture
def load(tmp_path):
    """Load recipe files made of the texts given, the first of them."""

    def load(text="", /, **others):
        for name, content in {"mine": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return recipe.load(str(tmp_path / "mine.yaml"))

    return load


def test_the_shipped_recipe_is_the_design_s():
    default = recipe.load("refinedweb")
    assert default.languages == ("en", "cs", "de", "es", "fr", "it", "nl", "pl", "pt", "ro", "sv")
    assert (default.minhash.geometry.bands, default.minhash.geometry.rows, default.minhash.threshold) == (50, 10, 0.75)
    assert default.min_language_score == 0.65
    assert default.reader.unit_bytes == 128 << 20
    assert default.url.block_lists == ("datatrove",)
    assert set(FUNNEL) - set(default.steps) == {"c4", "fineweb"}


def test_shipped_recipes():
    presets = {name: recipe.load(name) for name in recipe.shipped()}
    assert list(presets) == ["c4", "fineweb", "fineweb2-europe", "refinedweb", "refinedweb-paper", "refinedweb-tokens"]
    assert all(preset.name == name for name, preset in presets.items())
    text_steps = {
        name: preset.steps[preset.steps.index("language_filter") + 1 : preset.steps.index("url_dedup")]
        for name, preset in presets.items()
    }
    assert text_steps == {
        "c4": ("c4",),
        "fineweb": ("repetition", "quality", "c4", "fineweb"),
        "fineweb2-europe": ("repetition", "quality"),
        **dict.fromkeys(
            ("refinedweb", "refinedweb-paper", "refinedweb-tokens"), ("repetition", "quality", "line_corrections")
        ),
    }


def test_fineweb_is_the_paper_s():
    fineweb = recipe.load("fineweb")
    assert fineweb.languages == ("en",)
    assert fineweb.min_language_score == 0.65
    assert fineweb.c4 == C4Rules(end_marks=None, min_words=3, min_sentences=5)
    assert fineweb.minhash.geometry == PRESETS["fineweb"]
    assert fineweb.personal_data == PiiRules()


def test_fineweb2_europe_has_its_own_stop_words_and_the_geometry_of_fineweb():
    fineweb2 = recipe.load("fineweb2-europe")
    assert fineweb2.languages == ELEVEN[1:]
    assert (fineweb2.stop_words, fineweb2.minhash.geometry) == ("fineweb2", PRESETS["fineweb"])


def test_c4_masks_nothing_and_blocks_no_address():
    c4 = recipe.load("c4")
    assert (c4.c4, c4.personal_data, c4.url.block_lists) == (C4Rules(), None, ())
    assert not (c4.url.rules.blocked or c4.url.rules.words or c4.url.rules.curated)
    assert c4.page.min_words == c4.c4.min_words  # the gate before extraction drops no page that C4 would keep


def test_a_recipe_says_only_what_differs(load, tmp_path):
    base = "extends: refinedweb\nname: base\nminhash: {cap: 7}\n"
    mine = load("extends: base.yaml\nname: mine\nminhash: {geometry: {bands: 9}}\n", base=base)
    assert (mine.name, mine.minhash.cap) == ("mine", 7)
    assert (mine.minhash.geometry.bands, mine.minhash.geometry.rows) == (9, 10)
    assert mine.quality.base == "gopher_quality"


@pytest.mark.parametrize("base", ["folder/base.yaml", "folder/base.yml", "./folder/base.yml"])
def test_paths_are_those_of_the_recipe_s_own_folder(tmp_path, monkeypatch, base):
    (tmp_path / "folder").mkdir()
    (tmp_path / base).write_text("extends: same.yml\nurl: {block_lists: [a.txt, datatrove]}\n")
    (tmp_path / "folder" / "same.yml").write_text("extends: refinedweb\nlanguage_model: lid.bin\n")
    (tmp_path / "mine.yaml").write_text(f"extends: {base}\n")
    monkeypatch.chdir("/")
    found = recipe.load(str(tmp_path / "mine.yaml"))
    assert found.url.block_lists == (str(tmp_path / "folder" / "a.txt"), "datatrove")
    assert found.language_model == str(tmp_path / "folder" / "lid.bin")


def test_languages_of_the_command_line_replace_those_of_the_recipe():
    chosen = recipe.load("refinedweb", ("de", "fr"))
    assert chosen.languages == chosen.page_rules.languages == chosen.language_rules.languages == ("de", "fr")
    assert recipe.load("refinedweb", ("fr", "de", "fr")) == chosen  # how they are named does not make another run
    with pytest.raises(UsageError, match="languages: 'DE', 'xx' given; choose among en, cs"):
        recipe.load("refinedweb", ("xx", "de", "DE"))


def test_rules_are_changed_and_taken_out_by_name(load):
    rules = load("extends: refinedweb\nquality: {overrides: {short_words: {min: 2, languages: {de: 4}}, ellipses: }}\n")
    by_name = {rule.name: rule for rule in rules.quality.rule_set().rules}
    assert (by_name["short_words"].threshold, by_name["short_words"].overrides["de"]) == (2.0, 4.0)
    assert "ellipses" not in by_name


PROBLEMS = {
    "": "holds no mapping of settings",
    "- a": "holds no mapping of settings",
    "a: [b\nc: }": "not YAML",
    "extends: nope": "no such recipe; choose one of c4, fineweb, .*refinedweb-tokens, or give a .yaml",
    "extends: gone.yaml": "gone.yaml: cannot be read",
    "extends: mine.yaml": "extends itself, by way of",
    "extends: 3": "extends: 3 is not the name or the file of a recipe",
    "languages: [en]": "'name' is missing",
    "languagess: [en]": "unknown key 'languagess'; check its spelling",
    "minhash: {geometry: {bandz: 3}}": "unknown key 'minhash.geometry.bandz'",
    "min_language_score: high": "'min_language_score': input should be a valid number .found 'high'",
    "min_language_score: 7": "'min_language_score': input should be less than or equal to 1 .found 7",
    "min_language_score: .nan": "'min_language_score': input should be .* .found nan",
    "languages: en": "'languages': input should be a valid array .found 'en'",
    "languages: []": "'languages': .* at least 1 item",
    "languages: [en, xx]": "languages: 'xx' given; choose among en, cs",
    "url: 7": "'url': input should be an object .found 7",
    "minhash: ": "'minhash': input should be an object",
    "minhash: {geometry: {bands: 0, rows: 1}}": "'minhash.geometry': minhash geometry: bands is 0; give at least 1",
    "minhash: {threshold: 2}": "'minhash.threshold': .*less than or equal to 1",
    "minhash: {cap: 0}": "'minhash.cap': .*greater than or equal to 1",
    "guard: {cpu_s: -1}": "'guard': cpu_s is -1.0; give more than 0",
    "guard: {memory_bytes: 0}": "'guard': memory_bytes is 0; give more than 0",
    "quality: 7": "'quality': input should be an object .found 7",
    "fineweb: {base: nope}": "no rule set 'nope'; choose one of",
    "c4: {min_word: 3}": "unknown key 'c4.min_word'",
    "stop_words: mine": "'stop_words': input should be 'wordfreq' or 'fineweb2'",
    "reader: {max_block_bytes: 0}": "'reader': max_block_bytes is 0; give 1 or more",
    "reader: {max_look_back_bytes: -1}": "'reader': max_look_back_bytes is -1; give 1 or more",
    "reader: {max_header_bytes: -5}": "'reader': max_header_bytes is -5; give 1 or more",
    "reader: {max_payload_bytes: 0}": "'reader': max_payload_bytes is 0; give 1 or more",
    "reader: {unit_bytes: 100}": "'reader.unit_bytes': input should be greater than or equal to 1024 .found 100",
    "reader: {unit_bytes: 1.5e9}": "'reader.unit_bytes': input should be a valid integer",
    "quality: {base: nope}": "no rule set 'nope'; choose one of",
    "quality: {overrides: {nope: {min: 1}}}": "gopher_quality has no rule 'nope'",
    "quality: {overrides: {short_words: {mim: 1}}}": "short_words in gopher_quality: unknown key 'mim'",
    "quality: {overrides: {short_words: {min: x}}}": "short_words in gopher_quality, min: 'x' is not a number",
    "quality: {overrides: {short_words: {languages: {xx: 3}}}}": "languages of short_words: 'xx' given",
}


@pytest.mark.parametrize(("text", "said"), PROBLEMS.items())
def test_what_is_wrong_is_named_with_the_file(load, text, said):
    whole = (
        text if text.startswith(("extends", "languages: [en]")) or ":" not in text else f"{text}\nextends: refinedweb"
    )
    with pytest.raises(UsageError, match=f"^recipe .*{said}"):
        load(whole)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsageError, match=r"mine.yaml: not a text in UTF-8"):
        recipe.load(str(tmp_path / "mine.yaml"))


def test_a_loop_of_two_is_named(load):
    with pytest.raises(UsageError, match=r"mine.yaml: extends itself, by way of .*mine.yaml → .*other.yaml$"):
        load("extends: other.yaml", other="extends: mine.yaml")


@pytest.mark.parametrize("name", ["nope", "", ".", "/", "a/b", "gone.yml"])
def test_a_name_that_is_no_recipe_is_refused(name):
    with pytest.raises(UsageError, match="no such recipe|cannot be read"):
        recipe.load(name)
