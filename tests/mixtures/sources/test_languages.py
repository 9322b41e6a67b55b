"""Programming languages and licences as data."""

import pytest

from mixtures.sources.languages import language_names, language_of_file, named_language, permissive_licences


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Python", "python"),
        ("C#", "c-sharp"),
        ("C++", "cpp"),
        ("Common Lisp", "common-lisp"),
        ("Protocol_Buffers", "protocol-buffer"),
        ("YAML", "yaml"),
        ("COBOL", None),
    ],
)
def test_spellings(spelling, name):
    assert named_language(spelling) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("src/a.py", "python"),
        ("a.H", "c"),
        ("deep/CMakeLists.txt", "cmake"),
        ("Makefile", "makefile"),
        ("a.y", "yacc"),
        ("a.yml", "yaml"),
        ("README", None),
        ("a.unknown", None),
    ],
)
def test_file_names(path, name):
    assert language_of_file(path) == name


def test_the_list_is_consistent():
    names = set(language_names().values())
    assert len(names) == 93
    assert all(named_language(name) == name for name in names)


def test_licences_are_permissive_and_not_copyleft():
    licences = permissive_licences()
    assert {"mit", "apache-2.0", "bsd-3-clause", "isc", "unlicense", "cc0-1.0"} <= licences
    assert not [name for name in licences if name.startswith(("gpl", "lgpl", "agpl", "mpl", "epl", "cddl", "cc-by-sa"))]
