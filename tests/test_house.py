"""The house rules that no tool of the gate holds by itself."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"protocol": "bcca_protocol", "node": "bcca_node"}
MODULES = {
    str(path.relative_to(ROOT)): path
    for folder, package in PACKAGES.items()
    for path in sorted((ROOT / folder / package).rglob("*.py"))
}
PROTOCOL = {name: path for name, path in MODULES.items() if name.startswith("protocol")}
MAX_MODULE_LINES = 300
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", re.MULTILINE)

every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
every_protocol_module = pytest.mark.parametrize("module", PROTOCOL.values(), ids=PROTOCOL)
every_package = pytest.mark.parametrize("folder", PACKAGES)


@pytest.fixture(scope="module")
def listed() -> list[Path]:
    """Every file of the checkout that git does not ignore."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in names.split("\0") if name and (ROOT / name).exists()]


def test_the_visible_root_is_exactly_six_names(listed: list[Path]) -> None:
    visible = {path.parts[0] for path in listed if not path.parts[0].startswith(".")}

    assert visible == {"pyproject.toml", "README.md", "node", "protocol", "tests", "deploy"}


def test_the_hidden_root_is_exactly_three_names(listed: list[Path]) -> None:
    hidden = {path.parts[0] for path in listed if path.parts[0].startswith(".")}

    assert hidden == {".ci", ".github", ".gitignore"}


def test_no_lock_file_is_in_git(listed: list[Path]) -> None:
    assert Path("uv.lock") not in listed


@every_module
def test_no_module_is_over_300_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES


@every_module
def test_imports_stand_at_the_top_and_are_absolute(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    relative = [node for node in imports(tree) if isinstance(node, ast.ImportFrom) and node.level]
    below = [node for node in imports(tree) if node not in tree.body]

    assert [node.lineno for node in relative] == []
    assert [node.lineno for node in below] == []


@every_module
def test_no_import_is_for_the_type_checker_alone(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    assert "TYPE_CHECKING" not in names | attributes


@every_protocol_module
def test_the_protocol_knows_no_floats(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    literals = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]

    assert [line for name, line in calls(tree) if name == "float"] == []
    assert literals == []


@every_protocol_module
def test_only_the_command_of_the_protocol_opens_files_and_prints(module: Path) -> None:
    forbidden = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
    tree = ast.parse(module.read_text(encoding="utf-8"))

    if module.name != "__main__.py":
        assert [(name, line) for name, line in calls(tree) if name in forbidden] == []


def test_the_protocol_imports_nothing_third_party_but_cryptography_and_msgspec() -> None:
    assert third_party("protocol") <= {"cryptography", "msgspec"}


@every_package
def test_a_package_declares_every_third_party_module_it_imports(folder: str) -> None:
    owners = importlib.metadata.packages_distributions()
    imported = {normal(owners.get(name, [name])[0]) for name in third_party(folder)}

    assert imported - declared(folder) == set()


@every_package
def test_a_package_bounds_its_dependencies_from_below_only(folder: str) -> None:
    assert [text for text in requirements(folder) if re.search(r"[<~!,@]|==", text)] == []


@every_package
def test_a_package_says_one_version(folder: str) -> None:
    source = (ROOT / folder / PACKAGES[folder] / "__init__.py").read_text(encoding="utf-8")

    assert f'__version__ = "{project(folder).get("version")}"' in source.splitlines()


@every_package
def test_a_package_ships_its_licence_and_its_types(folder: str) -> None:
    licence = (ROOT / folder / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in licence
    assert licence == (ROOT / "protocol" / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / folder / PACKAGES[folder] / "py.typed").is_file()


def test_production_installs_every_declared_dependency_by_hash_and_from_anywhere() -> None:
    text = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    pins = re.split(r"\n(?=[a-z])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE))
    names = {name for name, _ in PIN.findall(text)}
    ours = {"bcca-node", "bcca-protocol"}

    assert [pin for pin in pins if not PIN.match(pin) or "--hash=sha256:" not in pin] == []
    assert set().union(*map(declared, PACKAGES)) - ours <= names
    assert "://" not in text
    assert names.isdisjoint(ours)


def test_production_installs_the_versions_that_these_tests_run_with() -> None:
    text = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    pinned: dict[str, set[str]] = {}
    for name, version in PIN.findall(text):
        pinned.setdefault(name, set()).add(version)
    running = {
        normal(found.name): found.version
        for found in importlib.metadata.distributions()
        if normal(found.name) in pinned
    }

    assert {name: version for name, version in running.items() if version not in pinned[name]} == {}


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield every import, wherever it stands."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the name and the line of every call of a plain name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno


def third_party(folder: str) -> set[str]:
    """Return the top-level modules a package imports that are neither Python's nor its own."""
    names: set[str] = set()
    for module in (ROOT / folder / PACKAGES[folder]).rglob("*.py"):
        for node in imports(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {PACKAGES[folder]}


def project(folder: str) -> dict[str, object]:
    """Return the `[project]` table of a package."""
    text = (ROOT / folder / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, object] = tomllib.loads(text)["project"]
    return table


def requirements(folder: str) -> list[str]:
    """Return what a package depends on, bounds and all."""
    table = project(folder)["dependencies"]
    assert isinstance(table, list)
    return [str(text) for text in table]


def declared(folder: str) -> set[str]:
    """Return the names of the distributions a package depends on, as PEP 503 writes them."""
    return {normal(re.split(r"[^A-Za-z0-9._-]", text)[0]) for text in requirements(folder)}


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()
