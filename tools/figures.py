"""Figures of the shape of a checkout: ``python tools/figures.py [--json] [CHECKOUT]``; ``--json`` names every place.

Lines are those of ``.py`` files. Imports are all of a module's: at its top, in functions, and for types only. What an
entry point names has a user more. The rooms ``storage`` and ``testing`` are not judged as users of a backend.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WORDS = re.compile(r"\b(is\s+none|nobody|somebody|whoever)\b", re.IGNORECASE)
Function = ast.FunctionDef | ast.AsyncFunctionDef

# Prints which files an import loads and, by thread, which functions a manifest reaches in the second save of a store
# (the alias is there then): true where it is an argument, false where it is only ``self``, or held by a closure.
PROGRAM = """
import collections, importlib, json, sys, tempfile, threading
checkout, module = sys.argv[1:]
sys.path.insert(0, checkout)
import artifact_store
loaded = [it.__file__ for name, it in sys.modules.items() if name.partition('.')[0] == 'artifact_store']
kind = importlib.import_module(module).Manifest
stops = collections.defaultdict(list)
def has(frame, names):
    values = [frame.f_locals.get(name) for name in names]
    inside = [list(v.values()) if type(v) is dict else v for v in values if type(v) in (dict, list, tuple)]
    return any(isinstance(value, kind) for value in sum(map(list, inside), values))
def watch(frame, event, _):
    code = frame.f_code
    if event == 'call' and code.co_filename.startswith(checkout + '/artifact_store/'):
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        given = has(frame, [name for name in code.co_varnames[:count] if name != 'self'])
        if given or has(frame, ('self', *code.co_freevars)):
            stops[threading.get_ident()].append((code.co_filename[len(checkout) + 1:], code.co_qualname, given))
with tempfile.TemporaryDirectory() as folder:
    artifact_store.ArtifactStore(folder).save({'a': 1}, 'figures')
    threading.setprofile(watch)
    sys.setprofile(watch)
    artifact_store.ArtifactStore(folder).save({'a': 2}, 'figures')
    sys.setprofile(None)
print(json.dumps([loaded, list(stops.values())]))
"""


@dataclass(frozen=True)
class Module:
    """One source file: ``name`` as it is imported, ``path`` below the checkout, and every node of its tree."""

    name: str
    path: str
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]

    def at(self, node: ast.stmt | ast.expr) -> str:
        """Return where a node is, and the beginning of it."""
        return f"{self.path}:{node.lineno} {ast.unparse(node).splitlines()[0]}"


def modules_of(checkout: Path, distribution: str) -> list[Module]:
    """Return the modules of the distribution that lies at this path."""
    root, found = checkout / distribution, []
    for file in sorted(root.rglob("*.py")):
        name = ".".join(file.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(text := file.read_text(encoding="utf-8"))
        found.append(Module(name, file.relative_to(checkout).as_posix(), text, tree, tuple(ast.walk(tree))))
    return found


def imports(modules: Sequence[Module]) -> dict[str, set[str]]:
    """Return which others of these each module imports; ``from package import module`` is the module."""
    names = {module.name for module in modules}
    graph: dict[str, set[str]] = {name: set() for name in names}
    for module in modules:
        for node in module.nodes:
            if isinstance(node, ast.Import):
                graph[module.name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"a relative import is not followed: {module.at(node)}"
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[module.name] |= (whole & names) | ({str(node.module)} if whole - names else set())
    return {name: targets & names - {name} for name, targets in graph.items()}


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the largest groups of modules that reach each other by imports."""
    reached = {name: set(targets) for name, targets in graph.items()}
    for via in graph:
        for found in reached.values():
            found.update(reached[via] if via in found else ())
    groups = {frozenset(other for other in found if name in reached[other]) for name, found in reached.items()}
    return [" ".join(sorted(group)) for group in groups if group]


def used_from_afar(modules: Sequence[Module], graph: dict[str, set[str]], named: set[str]) -> list[str]:
    """Return the modules (not packages, nor named by entry points) with one user, which lies in another folder."""
    folder = {module.name: module.path.rpartition("/")[0] for module in modules}
    judged = sorted({m.name for m in modules if not m.path.endswith("__init__.py")} - named)
    users = {name: [user for user in graph if name in graph[user]] for name in judged}
    return [f"{name} < {by[0]}" for name, by in users.items() if len(by) == 1 and folder[by[0]] != folder[name]]


def defined_twice(modules: Sequence[Module]) -> list[str]:
    """Return the public functions and classes that stand at the top of more than one module, by name."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module in modules:
        for name in {top.name for top in module.tree.body if isinstance(top, Function | ast.ClassDef)}:
            homes[name].append(module.name)
    return [f"{name}: {' '.join(where)}" for name, where in homes.items() if len(where) > 1 and name[0] != "_"]


def document_accesses(module: Module) -> list[str]:
    """Return each use of ``backend.read`` and ``backend.write``; a write of literal bytes is a probe, not counted."""
    calls = [node for node in module.nodes if isinstance(node, ast.Call)]
    probes = {id(call.func) for call in calls if any(isinstance(getattr(arg, "value", 0), bytes) for arg in call.args)}
    used = [node for node in module.nodes if isinstance(node, ast.Attribute) and node.attr in {"read", "write"}]
    return [module.at(n) for n in used if id(n) not in probes and ast.unparse(n.value).endswith("backend")]


def functions(module: Module, name: str = ".*", body: str = "(?s).*") -> list[str]:
    """Return the functions, methods and closures whose name, and whose text below the docstring, are as given."""
    every = [node for node in module.nodes if isinstance(node, Function) and re.fullmatch(name, node.name)]
    bodies = [node.body[ast.get_docstring(node) is not None :] for node in every]
    texts = ["\n".join(map(ast.unparse, lines)) for lines in bodies]
    return [module.at(node) for node, text in zip(every, texts, strict=True) if re.fullmatch(body, text)]


def words(module: Module) -> list[str]:
    """Return the words to avoid, in any case, in strings, docstrings and comments (neighbouring lines are one text)."""
    texts = [node.value for node in module.nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    comments = ""
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        comments += {tokenize.COMMENT: token.string.lstrip("#"), tokenize.NL: " "}.get(token.type, "|")
    return [f"{module.path}: {word}" for text in (*texts, comments) for word in WORDS.findall(text)]


def returns(files: Sequence[str]) -> list[str]:
    """Return the files that are entered again after they were left, once for each time."""
    entered = [file for index, file in enumerate(files) if index == 0 or files[index - 1] != file]
    return [file for index, file in enumerate(entered) if file in entered[:index]]


def measure(checkout: Path) -> dict[str, tuple[int, list[str]]]:
    """Return each figure of a checkout with the places that it counts; the package has to run in this interpreter."""
    store, models = modules_of(checkout, "artifact_store"), modules_of(checkout, "models/artifact_models")
    clients = [module for module in store if not {"storage", "testing"} & set(module.path.split("/"))]
    [home] = {m.name for m in store for node in m.nodes if isinstance(node, ast.ClassDef) and node.name == "Manifest"}
    program = [sys.executable, "-B", "-c", PROGRAM, str(checkout), home]
    loaded, ways = json.loads(subprocess.check_output(program, text=True))
    size = {checkout / module.path: len(module.text.splitlines()) for module in store}
    tools = [file for file in (checkout / "tools").rglob("*.py") if "windows" not in file.parts]
    both, graphs = (*store, *models), [(modules, imports(modules)) for modules in (store, models)]
    pages = [*checkout.glob("pyproject.toml"), *checkout.glob("models/pyproject.toml")]
    named = {name for page in pages for name in re.findall(r'= "([\w.]+):\w+"', page.read_text("utf-8"))}
    stub = "raise NotImplementedError.*"
    found: dict[str, list[str]] = {
        "modules loaded by import artifact_store": sorted(loaded),
        "modules that pass documents' keys to a backend": [m.name for m in clients if document_accesses(m)],
        "reads and writes of documents through a backend": [at for m in clients for at in document_accesses(m)],
        "public names defined twice in artifact_store": defined_twice(store),
        "public names defined twice in models": defined_twice(models),
        "import circles": [circle for _, graph in graphs for circle in circles(graph)],
        "functions look and send outside storage": [at for m in clients for at in functions(m, "look|send")],
        "functions that only raise NotImplementedError": [at for m in both for at in functions(m, body=stub)],
        "modules with one user, in another folder": [at for graph in graphs for at in used_from_afar(*graph, named)],
        "is none, nobody, somebody, whoever": [at for m in both for at in words(m)],
    }
    for title, taken in ("as argument", {True}), ("as argument, self or closure", {True, False}):
        way = [[(file, name) for file, name, given in stops if given in taken] for stops in ways]
        found[f"manifest {title}: functions"] = sorted({f"{file} {name}" for stops in way for file, name in stops})
        found[f"manifest {title}: files"] = sorted({file for stops in way for file, _ in stops})
        found[f"manifest {title}: returns"] = [at for stops in way for at in returns([file for file, _ in stops])]
    lines = {
        "lines of artifact_store": sum(size.values()),
        "lines of its largest module": max(size.values()),
        "lines loaded by import artifact_store": sum(size[Path(file)] for file in loaded),
        "lines of tools without windows": sum(len(file.read_text("utf-8").splitlines()) for file in tools),
    }
    return {name: (n, []) for name, n in lines.items()} | {name: (len(at), at) for name, at in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print figures of the shape of a checkout.")
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--json", action="store_true", help="print what each figure counts, too")
    chosen = parser.parse_args()
    result = measure(chosen.checkout.resolve())
    table = (f"{name:55} {value:7,}" for name, (value, _) in result.items())
    print(json.dumps(result, indent=1) if chosen.json else "\n".join(table))
