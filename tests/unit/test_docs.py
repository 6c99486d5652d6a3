"""The pages in ``docs``: what they name is there, and the drawing of the layers shows the layers that are held."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import artifact_store

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
PACKAGE = Path(artifact_store.__file__).parent  # of a wheel, where that is what is tested
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
PAGES = [DOCS / "architecture.md", DOCS / "decisions" / "README.md", *DECISIONS]
IN_A_CHECKOUT = ("findings", ".github", "tools/windows")  # a source distribution has none of these
IS_A_CHECKOUT = (ROOT / "tools" / "windows").is_dir()

PARTS = ("Context", "Decision", "What it costs", "Rejected", "Evidence")
NAMED = re.compile(r"`((?:artifact_store|models|tests|tools|docs|findings|\.github)(?:/[\w.-]+)+)(?:::(\w+))?`")
WHY = re.compile(r"^Why: (\S+)$", re.MULTILINE)
MOCKS = {"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "NonCallableMagicMock", "create_autospec", "mocker"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
decisions = pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def place(name: str) -> Path:
    return PACKAGE.parent / name if name.startswith("artifact_store/") else ROOT / name


def is_defined(name: str, source: str) -> bool:
    """Whether a function, a class or a value has this name."""
    found = rf"^\s*(?:(?:async )?def|class) {name}\b|^{name}(?:: [^=]+)? = "
    return re.search(found, source, re.MULTILINE) is not None


def layers() -> list[set[str]]:
    """The layers that ``test_architecture`` holds, as far as there is something in them, lowest first."""
    tree = ast.parse(text_of(ROOT / "tests" / "test_architecture.py"))
    (held,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["LAYERS"]
    ]
    there = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    found: tuple[set[str], ...] = ast.literal_eval(held)
    return [rooms & there for rooms in found]


class TestEveryPage:
    @pages
    def test_what_it_links_to_is_there(self, page: Path) -> None:
        targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(page))
        assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []

    @pages
    def test_what_it_names_is_there(self, page: Path) -> None:
        missing = []
        for name, inside in NAMED.findall(text_of(page)):
            if name.startswith(IN_A_CHECKOUT) and not IS_A_CHECKOUT:
                continue
            if not place(name).exists() or (inside and not is_defined(inside, text_of(place(name)))):
                missing.append(f"{name}::{inside}")
        assert missing == []

    def test_names_that_are_not_there_are_found(self) -> None:
        assert NAMED.findall("`tests/unit/test_docs.py::text_of` and `artifact_store/nothing`, `a/b`") == [
            ("tests/unit/test_docs.py", "text_of"),
            ("artifact_store/nothing", ""),
        ]
        assert is_defined("text_of", text_of(Path(__file__)))
        assert is_defined("PACKAGE", text_of(Path(__file__)))
        assert not is_defined("text_o", text_of(Path(__file__)))
        assert not place("artifact_store/nothing").exists()


class TestDecisions:
    def test_the_index_lists_every_page_in_order(self) -> None:
        rows = re.findall(
            r"^\| \[(\d+)\]\(([\w.-]+)\) \| (\S.*?) \|", text_of(DOCS / "decisions" / "README.md"), re.MULTILINE
        )
        assert [name for _, name, _ in rows] == [page.name for page in DECISIONS]
        assert [int(number) for number, _, _ in rows] == list(range(1, len(DECISIONS) + 1))

    @decisions
    def test_a_page_has_a_number_and_all_parts_and_is_short(self, page: Path) -> None:
        text = text_of(page)
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert re.findall(r"^\*\*([^*]+)\.\*\*", text, re.MULTILINE) == list(PARTS)
        assert text.count("\n") <= 60

    @decisions
    def test_a_page_names_the_tests_that_hold_it(self, page: Path) -> None:
        evidence = text_of(page).partition("**Evidence.**")[2]
        assert [name for name, _ in NAMED.findall(evidence) if name.startswith("tests/")] != []

    def test_modules_name_the_pages_that_explain_them(self) -> None:
        told = dict[str, list[str]]()
        for path in modules():
            for name in WHY.findall(text_of(path)):
                told.setdefault(name, []).append(path.name)
        assert sorted(told) == [page.relative_to(ROOT).as_posix() for page in DECISIONS]

    def test_the_arithmetic_of_scikit_learn_is_that_of_the_release_that_is_tested(self) -> None:
        """A new release is proven by raising the pin and running ``test_array_preprocessor``; then these say so."""
        (pinned,) = re.findall(r"^scikit-learn==(\S+)$", text_of(ROOT / "constraints.txt"), re.MULTILINE)
        source = text_of(PACKAGE / "codecs" / "sklearn" / "array_preprocessor.py")
        assert re.findall(r"as it stands in scikit-learn (\S+)", source) == [pinned]
        (page,) = [text_of(page) for page in DECISIONS if "scalers" in page.name]
        assert f"({pinned})" in page

    def test_no_test_puts_a_mock_in_the_place_of_a_part(self) -> None:
        """What a test replaces, it replaces by something that does the work."""
        found = []
        for path in (ROOT / "tests").rglob("*.py"):
            source = text_of(path)
            if any(name in source for name in MOCKS):
                found += [f"{path.name}:{line} {name}" for line, name in names_in(source) if name in MOCKS]
        assert found == []
        assert [name for _, name in names_in("def f(mocker): return mock.Mock(x)")][:2] == ["mocker", "Mock"]


def modules() -> Iterator[Path]:
    yield from PACKAGE.rglob("*.py")
    yield from (ROOT / "tests" / "servers").glob("*.py")
    yield from (ROOT / "tools").rglob("*.py")
    yield ROOT / "dev.py"


def names_in(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Name(id=name, lineno=line) | ast.Attribute(attr=name, lineno=line) | ast.arg(arg=name, lineno=line)
            ):
                yield line, name


class TestArchitecture:
    page = DOCS / "architecture.md"

    def test_the_table_of_rooms_is_that_of_the_layers(self) -> None:
        rows = re.findall(r"^\| (\d+) \| `(\w+)` \| \S[^|]* \| \S[^|]* \|$", text_of(self.page), re.MULTILINE)
        shown = [{room for number, room in rows if int(number) == level} for level in range(1, len(layers()) + 1)]
        assert shown == layers()
        assert len(rows) == sum(map(len, shown))

    def test_the_drawing_shows_the_layers_the_highest_above(self) -> None:
        drawn = re.findall(r'<text class="rooms"[^>]* y="(\d+)">([^<]+)</text>', text_of(DOCS / "architecture.svg"))
        assert [int(y) for y, _ in drawn] == sorted(int(y) for y, _ in drawn)
        assert [set(rooms.split(", ")) for _, rooms in reversed(drawn)] == layers()

    def test_a_newcomer_is_sent_to_both_pages(self) -> None:
        targets = re.findall(r"\]\(([^)]+)\)", text_of(ROOT / "CONTRIBUTING.md"))
        assert {"docs/architecture.md", "docs/decisions/README.md"} <= set(targets)


@pytest.mark.skipif(not IS_A_CHECKOUT, reason="this is the source distribution already")
def test_the_pages_are_in_the_source_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sdist = project["tool"]["hatch"]["build"]["targets"]["sdist"]
    assert "docs" in sdist["include"]
    assert not any(pattern.startswith(("docs", "*", "/docs")) for pattern in sdist.get("exclude", []))
