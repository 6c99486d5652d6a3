"""The shape of the package: who may import whom, what is loaded when, and the rules of the house that can be read.

Everything is judged on the parsed sources of the package that is imported, so the wheel is held to it as well.
"""

from __future__ import annotations

import ast
import dataclasses
import graphlib
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import artifact_store

PACKAGE = Path(artifact_store.__file__).parent
CHECKOUT = Path(__file__).resolve().parents[1]

LAYERS = (
    {"wording", "private_files", "process", "installing", "_version"},
    {"errors", "nearby"},
    {"canonical", "problems"},
    {"features"},
    {"core"},
    {"storage", "codecs"},
    {"ops"},
    {"run", "noting", "draft", "save_checks", "publication", "saving", "run_provenance", "lineage"},
    {"bulk"},
    {"legacy", "doctor", "loading", "watching", "configuration", "report"},
    {"reader", "moving", "clearing", "reporting"},  # the parts of the façade that read, copy, delete and show
    {"store"},
    {"backends", "cli", "testing", "__init__", "__main__"},
)
HANDLES = {
    "draft",
    "save_checks",
    "publication",
    "run",
    "noting",
    "saving",
    "run_provenance",
    "lineage",
}  # a run, and how one comes about: one layer, no cycles
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
BY_NAME = {
    "import_library",
    "old_form_library",
    "import_module",
    "importlib.import_module",
    "pytest.importorskip",
}  # functions that import
GROUPS = {"artifact_store.codecs", "artifact_store.backends", "artifact_store.predictors"}  # entry points, not modules

AT_IMPORT = {"pydantic_core", "filelock"}  # beside the standard library
WITHOUT_A_STORE = ("__init__", "_version", "cli", "core", "errors", "process", "storage", "wording")
"""The rooms of which the program loads anything before a command is asked for."""
AT_IMPORT_BY_ROOM = {"cli": {"click"}, "testing": {"pytest", "hypothesis"}}
NOT_FOR_LOADING = {
    "artifact_store.draft",
    "artifact_store.bulk.work",
    *(
        f"artifact_store.ops.{name}"
        for name in ("delete", "diff", "gc", "index", "promote", "prune", "validate", "verify")
    ),
}
"""What a process that loads a model does not use, and does not wait for."""
NEVER_AT_IMPORT = {
    *(
        "torch",
        "lightgbm",
        "xgboost",
        "catboost",
        "sklearn",
        "skops",
        "joblib",
        "stable_baselines3",
        "gymnasium",
        "safetensors",
        "scipy",
    ),
    *("pandas", "numpy", "pyarrow", "polars", "narwhals"),
    *("s3fs", "aiobotocore", "botocore", "boto3", "aiohttp", "obstore", "fsspec", "gcsfs", "adlfs", "click"),
    "cryptography",
    "jinja2",
}

# Each foreign library has one module that imports it. Where there are more, the reason stands beside them.
OWNERS = {
    "aiobotocore": {"storage/s3fs/session.py"},
    "botocore": {
        "storage/s3fs/client.py",  # the handler that costs s3fs a round trip
        "storage/obstore/aws.py",  # the credentials chain, which obstore has none of
    },
    "backports": {"storage/zstd.py"},
    "catboost": {"codecs/catboost/model.py"},
    "compression": {"storage/zstd.py"},
    "cryptography": {"ops/keypairs.py"},
    "filelock": {"storage/local/locks.py"},
    "fsspec": {
        "storage/fsspec/filesystem.py",
        "storage/options.py",  # the names of the schemes it knows, for the message about an unknown one
    },
    "gymnasium": {
        "codecs/sb3/spaces.py",
        "legacy/old_objects.py",  # an environment with spaces and nothing else, for a VecNormalize of the old form
    },
    "jinja2": {"report/pages.py"},
    "joblib": {
        "bulk/pool.py",  # which runs tasks wherever people have workers
        "codecs/sklearn/joblib.py",
        "legacy/old_objects.py",  # writes the old form, where the caller asks for pickles
    },
    "lightgbm": {
        "codecs/lightgbm/booster.py",
        "codecs/lightgbm/sklearn.py",  # the estimators around a booster
        "legacy/formats/lightgbm_child.py",  # a foreign text meets the parser in a process of its own
        "legacy/formats/lightgbm.py",  # what that process wrote, as a booster
        "legacy/old_objects.py",  # estimators of the old form, around a booster
    },
    "markupsafe": {"report/pages.py"},
    "narwhals": {"features/tables.py"},
    "obstore": {
        "storage/obstore/client.py",
        "storage/obstore/listing.py",  # listings that are awaited, so that they can be given up
    },
    "pickle": {"testing/backend_suite.py"},  # a backend can be sent to another process; nothing that is stored
    "polars": {
        "codecs/tables/polars.py",
        "features/tables.py",  # frames as input of a model
    },
    "pyarrow": {
        "codecs/tables/arrow.py",
        "codecs/tables/pandas.py",  # pandas writes Parquet through it
        "features/tables.py",  # tables as input of a model
        "ops/index_parquet.py",  # copies of the catalog index, which hold nothing that was saved
        "legacy/formats/families.py",  # how large an old Parquet file becomes, before pandas reads it
    },
    "s3fs": set[str](),  # fsspec makes its filesystem
    "safetensors": {"codecs/torch/tensors.py"},
    "sklearn": {
        "codecs/sklearn/estimators.py",  # its version, beside what was made with it
        "codecs/sklearn/scalers.py",
        "codecs/sklearn/skops.py",  # its version, when it cannot take what another one wrote
        "codecs/xgboost/booster.py",  # whose estimators derive from it, and say less clearly that it is not there
        "legacy/old_objects.py",  # scalers of the old form, made of arrays
    },
    "skops": {"codecs/sklearn/skops.py"},
    "scipy": {"codecs/sparse.py"},
    "stable_baselines3": {
        "codecs/sb3/replay.py",  # its buffers
        "codecs/sb3/schedules.py",
        "codecs/sb3/values.py",  # its noises
        "codecs/sb3/vecnormalize.py",  # its running statistics, which are no algorithm
        "codecs/sb3/wrappers.py",  # its wrappers
        "legacy/old_objects.py",  # a VecNormalize to be saved in the old form
    },
    "torch": {
        "codecs/sb3/building.py",  # its random generator, which building an algorithm must leave alone
        "codecs/random_states.py",  # its generators
        "codecs/torch/tensors.py",
        "codecs/torch/state.py",  # to know a module
        "codecs/torch/nested.py",  # its classes of tensors, for trees of them
        "legacy/formats/checkpoint.py",  # old checkpoints, as views into their raw bytes
        "legacy/old_objects.py",  # writes the old form, where the caller asks for pickles
    },
    "xgboost": {"codecs/xgboost/booster.py"},
}

SHORT_VALUES = {
    *("key", "self.key", "attempt.key", "file.key", "prefix"),  # as core/keys.py spells them, of bounded length
    *("self._bucket", "TEMPORARY", "locks.FOLDER", "sign", "segment"),  # a constant, or one of a few
    "record.concurrency",  # as it is stored, one of two
    "engine",  # one of a few by then
}
"""What may be repeated whole where a place or an option is refused; anything else goes through ``wording.brief``."""

READS_ENVIRONMENT = {
    "configuration/files.py": "where the user's own file is, by the conventions of the systems",
    "configuration/named.py": "the store that the environment names, before those of the files",
    "bulk/spec.py": "the variables that a spec names, in the process that opens the store",
    "ops/repository.py": "where the user's own settings of git are, so that git gets nothing else of the environment",
    "storage/aws_settings.py": "AWS's conventions: each engine knows them only in part",
    "storage/obstore/aws.py": "the role of a machine, which obstore takes from there",
    "storage/obstore/client.py": "the account and the certificates that the client itself takes from there",
    "storage/obstore/refused.py": "what the client took from there, to say why it was refused",
    "storage/environment_secrets.py": "what a client may have taken from there, so that no error repeats a secret",
}
SPELLS_KEYS = {
    "core/keys.py",
    "core/names.py",  # models, as people type them
    "core/reference_hints.py",  # references, as people should have typed them
}
SPELLS_OTHER_PATHS = {
    "storage": "joins its root and a key that it is given",
    "codecs": "sees a directory and never a key",
    "testing": "its keys mean nothing",
}

PUBLIC = [
    "ArtifactStore",
    "ArtifactStoreError",
    "Cache",
    "Codec",
    "CodecRef",
    "CodecRegistry",
    "Digest",
    "Draft",
    "Example",
    "Expect",
    "FeatureSchema",
    "IfBetter",
    "LoadPolicy",
    "Loaded",
    "LoadedMany",
    "Location",
    "ModelKey",
    "Observation",
    "OfflineWarning",
    "Pointer",
    "Progress",
    "PublicKey",
    "Publish",
    "Risk",
    "Run",
    "RunId",
    "RunRef",
    "Signer",
    "StoreSpec",
    "TorchState",
    "Watched",
    "Watcher",
    "__version__",
    "errors",
]


PUBLIC_MODULES = {
    "artifact_store": "the store and what it gives and takes",
    "artifact_store.backends": "what a backend of another distribution is made of",
    "artifact_store.cli.program": "what a command-line program over a store needs",
    "artifact_store.errors": "what to catch",
    "artifact_store.installing": "what to install where a library is missing",
    "artifact_store.testing": "what plug-ins prove themselves with",
}


PURE = {"core", "features", "canonical", "errors", "wording"}  # no input or output at all


@dataclass(frozen=True)
class Import:
    """One imported module: where, what, and whether it is loaded together with the module that asks for it."""

    line: int
    target: str
    eager: bool


@dataclass(frozen=True)
class Module:
    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        return self.path.removesuffix(".py").partition("/")[0]

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"


def parsed(folder: Path, package: str) -> list[Module]:
    modules = []
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        name = ".".join([package, *relative.with_suffix("").parts]).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        modules.append(Module(relative.as_posix(), name, text, ast.parse(text)))
    return modules


MODULES = parsed(PACKAGE, "artifact_store")
MODELS = parsed(CHECKOUT / "models" / "artifact_models", "artifact_models")
IMPORTS: dict[str, list[Import]] = {}
NAMES = {module.name for module in MODULES}
EVERY_NAME = NAMES | {module.name for module in MODELS}


def imports(module: Module) -> list[Import]:
    """Return all imports of a module, those in functions and those spelled as text included."""
    if module.name not in IMPORTS:
        IMPORTS[module.name] = list(_imports(module, module.tree, eager=True))
    return IMPORTS[module.name]


def _imports(module: Module, node: ast.AST, *, eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in dotted(child.test)
        yield from (Import(child.lineno, name, eager) for name in _targets(module, child) if hasattr(child, "lineno"))
        yield from _imports(module, child, eager=eager and not later and not typing_only)


def _targets(module: Module, node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=source, names=names, level=level):
            base = _absolute(module, source, level)
            yield from (whole if (whole := f"{base}.{alias.name}") in EVERY_NAME else base for alias in names)
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=function) if dotted(function) in BY_NAME:
            yield name
        case ast.Constant(value=str(text)) if text in NAMES - GROUPS - {"artifact_store"}:
            yield text


def _absolute(module: Module, source: str | None, level: int) -> str:
    if not level:
        return source or ""
    package = module.name if module.path.endswith("__init__.py") else module.name.rpartition(".")[0]
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, *([source] if source else [])])


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a name with attributes, and nothing for any other expression."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name) if before := dotted(owner):
            return f"{before}.{name}"
    return ""


def parts_of(hint: object) -> Iterator[object]:
    """Yield a type and all types that stand in its brackets."""
    yield hint
    for part in typing.get_args(hint):
        yield from parts_of(part)


def room_of(target: str) -> str:
    return target.split(".")[1] if "." in target else "__init__"


def top(target: str) -> str:
    return target.partition(".")[0]


def none(found: Iterable[str]) -> None:
    """Fail with one line for each thing that should not be there."""
    wrong = sorted(set(found))
    assert not wrong, "\n" + "\n".join(wrong)


class TestLayers:
    def test_every_room_has_a_layer(self) -> None:
        none(f"{module.path} belongs to no layer" for module in MODULES if module.room not in LEVEL)
        none(f"there is no room {room}" for room in LEVEL.keys() - {module.room for module in MODULES})

    def test_imports_go_down(self) -> None:
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if top(found.target) == "artifact_store" and not may_import(module.room, room_of(found.target))
        )

    def test_modules_do_not_import_each_other_in_a_circle(self) -> None:
        graph = {
            module.name: {found.target for found in imports(module) if found.target in NAMES}
            - {module.name, "artifact_store"}
            for module in MODULES
        }
        list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle

    def test_a_codec_knows_no_manifest_and_no_pointer(self) -> None:
        forbidden = {f"artifact_store.core.{name}" for name in ("manifest", "pointer", "policy", "trust")}
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if module.room == "codecs" and found.target in forbidden
        )

    def test_a_backend_knows_no_run(self) -> None:
        contract = {"base", "memory", "backend"}
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if module.room == "storage" and Path(module.path).stem in contract
            if found.target in {"artifact_store.core.manifest", "artifact_store.core.pointer"}
        )

    def test_the_core_does_no_input_or_output(self) -> None:
        doors = {"socket", "subprocess", "threading", "concurrent", "asyncio", "tempfile", "shutil", "urllib", "http"}
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if module.room in PURE and top(found.target) in doors
        )

    def test_the_store_does_not_know_the_models(self) -> None:
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if top(found.target) == "artifact_models"
        )

    def test_the_models_use_public_names_only(self) -> None:
        none(
            f"models/{module.at(node.lineno)} uses {node.module}.{alias.name}"
            for module in MODELS
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom) and top(node.module or "") == "artifact_store"
            for alias in node.names
            if not is_public(node.module or "", alias.name)
        )

    def test_a_trainer_knows_neither_store_nor_schema(self) -> None:
        trainers = {f"{family}/trainer.py" for family in ("gbm", "gru", "ppo")}
        assert trainers <= {module.path for module in MODELS}
        none(
            f"models/{module.at(node.lineno)} imports {alias.name}"
            for module in MODELS
            if module.path in trainers
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ImportFrom) and top(node.module or "") == "artifact_store"
            for alias in node.names
            if alias.name != "errors"
        )


def is_public(module: str, name: str) -> bool:
    """Tell whether other distributions may use this name: where a module has a list of its names, it is in there."""
    whole = f"{module}.{name}"
    if module not in PUBLIC_MODULES:
        return whole in PUBLIC_MODULES  # the module itself
    return name in vars(import_module(module)).get("__all__", [name]) or whole in PUBLIC_MODULES


def may_import(room: str, other: str) -> bool:
    if room == other or {room, other} <= HANDLES or (room, other) == ("__main__", "cli"):
        return True
    return LEVEL.get(other, len(LAYERS)) < LEVEL.get(room, 0)


class TestWhatIsLoaded:
    def test_importing_the_package_loads_no_framework_and_no_storage_client(self) -> None:
        program = "import sys; from artifact_store import ArtifactStore, FeatureSchema; print(*sys.modules)"
        output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        loaded = {top(name) for name in output.split()}
        assert "artifact_store" in loaded
        assert not loaded & NEVER_AT_IMPORT

    @pytest.mark.parametrize(
        ("program", "most", "never"),
        [
            ("import artifact_store", {"__init__", "_version"}, {"click", "pydantic_core", "importlib.metadata"}),
            ("import artifact_store.cli.app", set(WITHOUT_A_STORE), {"pydantic_core", "importlib.metadata"}),
            (
                "from artifact_store import ArtifactStore",
                None,
                {"pydantic", "filelock", "artifact_store.doctor.examine", *NOT_FOR_LOADING},
            ),
            (
                "from artifact_store import ArtifactStore as Store; Store('s3://bucket/models', engine='obstore')",
                None,
                {"pydantic", "filelock", "asyncio", *NOT_FOR_LOADING},
            ),
        ],
        ids=["package", "program", "store", "bucket"],
    )
    def test_what_is_not_asked_for_is_not_loaded(self, program: str, most: set[str] | None, never: set[str]) -> None:
        program = f"import sys; before = set(sys.modules); {program}; print(*set(sys.modules) - before)"
        output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        loaded = set(output.split())
        assert not loaded & never
        assert not {name for name in loaded if name.startswith("artifact_store.legacy")}
        rooms = {room_of(name) for name in loaded if top(name) == "artifact_store"}
        assert most is None or rooms == most

    def test_a_public_name_is_imported_from_where_it_is_at_home(self) -> None:
        for name in PUBLIC:
            assert name in dir(artifact_store)
            assert getattr(artifact_store, name) is not None
        written = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
        block = next(node for node in written.body if isinstance(node, ast.If))
        typed = {
            (str(node.module).removeprefix("artifact_store."), alias.name)
            for node in block.body
            if isinstance(node, ast.ImportFrom) and node.module != "artifact_store"
            for alias in node.names
        }
        assert typed == {(module, name) for name, module in artifact_store._HOME.items()}
        with pytest.raises(AttributeError, match="no attribute 'Artefact'"):
            _ = artifact_store.Artefact

    def test_modules_load_only_light_libraries(self) -> None:
        none(
            f"{module.at(found.line)} imports {found.target}"
            for module in MODULES
            for found in imports(module)
            if found.eager
            if top(found.target)
            not in {*sys.stdlib_module_names, "artifact_store", *AT_IMPORT, *AT_IMPORT_BY_ROOM.get(module.room, ())}
        )

    @pytest.mark.parametrize("library", sorted(OWNERS))
    def test_a_library_is_imported_where_it_belongs(self, library: str) -> None:
        places = {module.path for module in MODULES for found in imports(module) if top(found.target) == library}
        assert places == OWNERS[library]


class TestPublicNames:
    def test_the_top_level_offers_these_names(self) -> None:
        assert artifact_store.__all__ == PUBLIC

    def test_every_public_name_is_there(self) -> None:
        none(name for name in artifact_store.__all__ if not hasattr(artifact_store, name))

    def test_every_name_of_a_public_module_is_there_and_explained(self) -> None:
        for name in PUBLIC_MODULES.keys() - {"artifact_store.errors"}:  # an attribute of the top level, so far
            module = import_module(name)
            assert module.__doc__, name
            none(f"{name}.{public}" for public in module.__all__ if not hasattr(module, public))
            none(
                f"{name}.{public} has no docstring"
                for public in module.__all__
                if callable(value := getattr(module, public)) and not value.__doc__
            )

    def test_a_backend_of_others_needs_public_names_only(self) -> None:
        backends = import_module("artifact_store.backends")
        hints = [typing.get_type_hints(kind) for kind in vars(backends).values() if dataclasses.is_dataclass(kind)]
        methods = [value for value in vars(backends.Backend).values() if inspect.isfunction(value)]
        assert len(methods) > 10
        needed = [hint for found in (*hints, *map(typing.get_type_hints, methods)) for hint in found.values()]
        known = {id(getattr(backends, name)) for name in backends.__all__}
        none(
            f"artifact_store.backends lacks {part}"
            for hint in needed
            for part in parts_of(hint)
            if str(getattr(part, "__module__", "")).startswith("artifact_store") and id(part) not in known
        )

    def test_the_package_says_that_it_is_typed(self) -> None:
        assert (PACKAGE / "py.typed").is_file()

    def test_the_changelog_knows_this_version(self) -> None:
        changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert re.search(rf"^## \[?{re.escape(artifact_store.__version__)}\b", changelog, re.MULTILINE)


WRITES_PROBES = {"ops/probe.py", "doctor/environment.py"}  # throw-away objects, which are no documents
TWICE_IN_THE_MODELS = {
    "GRUTrainer",  # the old pipeline's class, over the family's own
    "LightGBMTrainer",  # the same
}


class TestDocuments:
    def test_records_alone_read_and_write_them(self) -> None:
        places = {"ops/records.py", *WRITES_PROBES}
        none(
            f"{module.at(node.lineno)} {ast.unparse(node.func)}"
            for module in MODULES
            if module.room not in {"storage", "testing"} and module.path not in places
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and re.search(r"\bbackend\.(read|write)$", dotted(node.func))
        )

    def test_no_function_of_the_protocol_sends_or_looks_by_itself(self) -> None:
        none(
            f"{module.at(node.lineno)} {node.name}"
            for module in MODULES
            if module.room not in {"storage", "testing"}
            for node in ast.walk(module.tree)
            if isinstance(node, ast.FunctionDef) and node.name in {"look", "send"}
        )


PLUGINS = (*GROUPS, "artifact_models.families")
FAR_FROM_ITS_USER: dict[str, str] = {}


class TestRooms:
    """A module that one other alone uses lies in its folder.

    Two kinds of modules are used from outside of their folder by their nature: a door, which imports others of its
    folder and through which that is reached, and what an entry point names.
    """

    @pytest.mark.parametrize("modules", [MODULES, MODELS], ids=["artifact_store", "artifact_models"])
    def test_it_lies_beside_its_user_or_has_a_reason(self, modules: list[Module]) -> None:
        named = {point.value.partition(":")[0] for group in PLUGINS for point in entry_points(group=group)}
        folder = {module.name: module.path.rpartition("/")[0] for module in modules}
        used = {m.name: {found.target for found in imports(m)} & folder.keys() - {m.name} for m in modules}
        found = []
        for module in modules:
            users = [name for name in used if module.name in used[name]]
            door = any(folder[name] == folder[module.name] for name in used[module.name])
            if len(users) != 1 or door or module.name in named or module.path.endswith("__init__.py"):
                continue
            if folder[users[0]] != folder[module.name] and module.path not in FAR_FROM_ITS_USER:
                found.append(f"{module.path} is used by {users[0]} alone")
        none(found)


class TestNames:
    @pytest.mark.parametrize(("modules", "allowed"), [(MODULES, set()), (MODELS, TWICE_IN_THE_MODELS)])
    def test_a_public_name_means_one_thing(self, modules: list[Module], allowed: set[str]) -> None:
        places: dict[str, list[str]] = {}
        for module in modules:
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(module.at(node.lineno))
        none(f"{name}: {', '.join(found)}" for name, found in places.items() if len(found) > 1 and name not in allowed)

    def test_no_function_is_a_stub(self) -> None:
        none(
            module.at(node.lineno)
            for module in MODULES
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
        )


class TestHouseRules:
    def test_modules_stay_short(self) -> None:
        lists = {"errors.py": 450}  # one class after the other, and each of them public there
        for modules, most in ((MODULES, 400), (MODELS, 450)):
            none(
                f"{module.path}: {lines} lines"
                for module in modules
                if (lines := module.text.count("\n")) > lists.get(module.path, most)
            )

    def test_modules_say_what_they_own(self) -> None:
        none(module.path for module in (*MODULES, *MODELS) if not ast.get_docstring(module.tree))

    def test_no_module_is_a_drawer_for_everything(self) -> None:
        none(
            m.path for m in MODULES if set(Path(m.path).with_suffix("").parts) & {"utils", "helpers", "common", "misc"}
        )

    def test_only_one_module_spells_keys(self) -> None:
        none(
            f"{module.at(node.lineno)} {ast.unparse(node)}"
            for module in MODULES
            if module.path not in SPELLS_KEYS and module.room not in SPELLS_OTHER_PATHS
            for node in ast.walk(module.tree)
            if isinstance(node, ast.JoinedStr) and spells_a_path(node)
        )

    def test_names_of_stored_objects_stand_in_one_module(self) -> None:
        ours = {"manifest.json", "latest.json", "_store.json", ".history/"}
        none(
            f"models/{module.at(node.lineno)} {node.value!r}"
            for module in MODELS
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and node.value in {*ours, "://"}  # nor do the models read URLs
        )
        none(
            f"{module.at(node.lineno)} {node.value!r}"
            for module in MODULES
            if module.path != "core/keys.py"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Constant) and node.value in ours
        )

    def test_no_failure_is_swallowed(self) -> None:
        none(
            f"{module.at(node.lineno)} {ast.unparse(node).splitlines()[0]}"
            for module in MODULES
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ExceptHandler) and catches_all(node)
            if not passes_on(node) and not has_a_comment(module, node)
        )

    def test_a_suppression_is_narrow_or_has_its_reason_beside_it(self) -> None:
        plain = {"FileNotFoundError", "FileExistsError", "NotADirectoryError"}  # it is already as it should become
        none(
            f"{module.at(node.lineno)} {ast.unparse(node)}"
            for module in MODULES
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and dotted(node.func) in {"suppress", "contextlib.suppress"}
            if any(dotted(kind) in {"Exception", "BaseException"} for kind in node.args)
            or not ({dotted(kind) for kind in node.args} <= plain or has_a_comment(module, node))
        )

    def test_a_refusal_of_a_place_or_an_option_repeats_no_more_than_the_beginning_of_a_value(self) -> None:
        found = {
            (module.path, ast.unparse(value.value))
            for module in MODULES
            if module.room in {"storage", "cli"} or module.path in {"ops/context.py", "ops/opening.py"}
            for function in ast.walk(module.tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            and function.name not in {"__repr__", "__getattr__"}
            for value in ast.walk(function)
            if isinstance(value, ast.FormattedValue) and value.conversion == ord("r")
        }
        assert {(path, value) for path, value in found if value not in SHORT_VALUES} == set()

    def test_the_environment_is_read_at_the_door(self) -> None:
        places = {
            module.path
            for module in MODULES
            if module.room != "cli"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute | ast.Name)
            if dotted(node) in {"os.environ", "os.getenv", "os.environb", "environ", "getenv"}
        }
        assert places == set(READS_ENVIRONMENT)

    def test_a_process_is_not_known_by_its_id(self) -> None:
        places = {
            module.path
            for module in MODULES
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute | ast.Name)
            if dotted(node) in {"os.getpid", "getpid"}
        }
        assert places == {"process.py"}

    def test_questions_are_asked_at_the_door(self) -> None:
        none(
            f"{module.at(node.lineno)} {ast.unparse(node)}"
            for module in MODULES
            if module.room != "cli"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and dotted(node.func) in {"input", "getpass.getpass", "print"}
        )


def has_a_comment(module: Module, node: ast.expr | ast.ExceptHandler) -> bool:
    """Say whether a reason stands on the line, above it or below it."""
    return any("#" in line for line in module.text.splitlines()[node.lineno - 2 : node.lineno + 2])


def spells_a_path(text: ast.JoinedStr) -> bool:
    """Tell text such as ``f"{key}/{alias}"`` from a sentence or a URL."""
    fixed = "".join(
        part.value for part in text.values if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
    return "/" in fixed and " " not in fixed and "://" not in fixed


def catches_all(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(kind) in {"Exception", "BaseException"} for kind in kinds)


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Say whether the handler raises again, or hands on what it caught."""
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    used = any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)
    return handler.type is not None and (used or any(isinstance(node, ast.Raise) for node in inside))
