"""The houses' names are this project's own, and effects stay in the rooms that the design gives them."""

import ast
import importlib
import re
from pathlib import Path

import pytest

PACKAGES = ("falconmix", "pipeline", "stages", "mixtures", "trainer")
EFFECTS = {"os", "pathlib", "time", "random", "ray", "torch", "secrets", "subprocess", "socket", "tempfile", "shutil"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}
MAY_SET_ENVIRONMENT = {"pipeline/ray_engine.py"}
"""Ray reads its settings from the environment when it is first imported."""


@pytest.fixture(scope="session")
def sources(repository):
    """Syntax tree of each module, by its path in the repository."""
    files = [file for package in PACKAGES for file in sorted((repository / package).rglob("*.py"))]
    return {file.relative_to(repository).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def imports(tree):
    """Top-level names of all that a module imports, inside functions too, and by `import_module("name")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (arg.value.split(".")[0] for arg in node.args[:1] if isinstance(arg, ast.Constant))


def test_the_walk_sees_every_kind_of_import():
    code = "import a.b\ndef f():\n from c.d import e\n importlib.import_module('g.h')\n __import__('i')"
    assert set(imports(ast.parse(code))) == {"a", "c", "g", "i"}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_import_name_is_this_projects_own(name, repository):
    file = importlib.import_module(name).__file__
    assert file
    assert Path(file).resolve() == repository / name / "__init__.py"


@pytest.mark.parametrize(
    "room", ["mixtures", "mixtures.decontamination", "mixtures.fast_bpe", "trainer", "trainer.plan"]
)
def test_a_room_names_its_modules(room, repository):
    modules = {file.stem for file in (repository / room.replace(".", "/")).glob("*.py")} - {"__init__"}
    assert modules - set(re.findall(r"\w+", importlib.import_module(room).__doc__)) == set()


def test_one_module_imports_ray(sources):
    assert [name for name, tree in sources.items() if "ray" in imports(tree)] == ["pipeline/ray_engine.py"]


def test_stages_have_no_effects(sources):
    stages = {name: tree for name, tree in sources.items() if name.startswith("stages/")}
    assert len(stages) > 20
    assert {name: found for name, tree in stages.items() if (found := EFFECTS & set(imports(tree)))} == {}
    calls = [(name, ast.unparse(node.func)) for name, tree in stages.items() for node in _calls(tree)]
    assert [call for call in calls if call[1] in ("open", "io.open", "print", "input")] == []


def test_the_environment_is_read_by_the_command_line_alone(sources):
    reading = {name for name, tree in sources.items() if any(map(_touches_environment, ast.walk(tree)))}
    assert {name for name in reading if not name.startswith("falconmix/")} == MAY_SET_ENVIRONMENT


def test_the_one_exception_only_sets_what_is_not_set(sources):
    (name,) = MAY_SET_ENVIRONMENT
    uses = [ast.unparse(node.func) for node in _calls(sources[name]) if "environ" in ast.unparse(node.func)]
    assert uses == ["os.environ.setdefault"]
    assert sum(map(_touches_environment, ast.walk(sources[name]))) == 1


def _calls(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _touches_environment(node):
    if isinstance(node, ast.Attribute):
        return node.attr in ENVIRONMENT
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in ENVIRONMENT for a in node.names)
