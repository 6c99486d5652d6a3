"""Which codec is chosen, and what is said when none can be."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from artifact_store.core.codec import CodecRef, Risk, check_inputs
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import CodecUnavailable, FeatureMismatch, InvalidOption, NoCodec

Install = Callable[..., None]


class Base:
    pass


class Derived(Base):
    pass


def codec(**parts: Any) -> type[Any]:
    """Return a codec class that stores ``Base``, unless told otherwise."""
    defaults = {
        "name": "thing",
        "version": 1,
        "risk": Risk.DATA,
        "types": (f"{__name__}.Base",),
        "extra": None,
        "encode": lambda *_: {},
        "decode": lambda *_, **__: None,
    }
    return type("Made", (), defaults | parts)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions whose codecs are written out as source: real metadata, real imports."""
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def install_one(distribution: str, source: str, *names: str) -> None:
        module = distribution.replace("-", "_")
        made.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "\n".join(f"{name} = {module}:Made" for name in names)
        (info / "entry_points.txt").write_text(f"[artifact_store.codecs]\n{lines}\n")

    yield install_one
    for module in made:
        sys.modules.pop(module, None)


def source(name: str = "thing", version: int = 1, types: str = "'builtins.complex',", risk: str = "DATA") -> str:
    return f"""
from artifact_store.core.codec import Risk
class Made:
    name, version, risk, types, extra = {name!r}, {version}, Risk.{risk}, ({types}), None
    def encode(self, obj, directory, stem): return {{}}
    def decode(self, directory, stem, options, *, into=None): return None
"""


def test_the_shipped_codecs_are_chosen_by_type(tmp_path: Path) -> None:
    chosen = {
        "json": [{"a": 1}, {}, [], "text", 1, 1.5, True, None, (1,)],
        "array-tree": [{"a": np.ones(1), "b": 1}, [np.ones(1)]],
        "arrays": [np.ones(1), np.float64(1), np.str_("a"), np.bytes_(b"a"), {"a": np.ones(1)}, (np.ones(1),)],
        "raw": [b"bytes", tmp_path],
    }
    registry = CodecRegistry()
    for name, objects in chosen.items():
        for obj in objects:
            assert registry.for_object(obj).name == name, repr(obj)


def test_the_most_specific_class_wins() -> None:
    registry = CodecRegistry()
    registry.register(codec(name="general"))
    registry.register(codec(name="special", types=(f"{__name__}.Derived",)))
    assert registry.for_object(Derived()).name == "special"
    assert registry.for_object(Base()).name == "general"


def test_the_newest_version_of_a_codec_is_chosen_and_the_old_one_still_found() -> None:
    registry = CodecRegistry()
    for version in (2, 10, 9):
        registry.register(codec(version=version))
    assert registry.for_object(Base()).version == 10
    assert registry.for_object(Base(), "thing").version == 10
    assert registry.for_ref(CodecRef("thing", 9)).version == 9


def test_two_codecs_for_one_type_need_a_word_from_the_caller() -> None:
    registry = CodecRegistry()
    registry.register(codec(name="one"))
    registry.register(codec(name="two"))
    with pytest.raises(InvalidOption, match="codec='one' or codec='two'"):
        registry.for_object(Base())
    assert registry.for_object(Base(), "two").name == "two"


def test_a_codec_that_declines_leaves_the_object_to_the_next() -> None:
    registry = CodecRegistry()
    registry.register(codec(name="picky", types=(f"{__name__}.Derived",), accepts=lambda self, obj: False))
    assert_refused(registry, Derived(), "picky would take some of that type")
    registry.register(codec(name="general"))
    assert registry.for_object(Derived()).name == "general"


class Side(enum.StrEnum):
    """What JSON would make plain text of."""

    BUY = "buy"


def test_a_member_of_an_enumeration_that_is_text_is_refused_with_what_to_keep() -> None:
    registry = CodecRegistry()
    assert_refused(registry, Side.BUY, "but not this one. To store what it is made of, keep its .name")
    assert registry.for_object(Side.BUY.name).name == "json"


def test_a_codec_that_runs_code_is_never_chosen_by_type() -> None:
    registry = CodecRegistry()
    registry.register(codec(name="pickle", risk=Risk.CODE))
    assert_refused(registry, Base(), "codec='pickle'")
    assert registry.for_object(Base(), "pickle").risk is Risk.CODE
    registry.register(codec(name="safe", types=("builtins.object",)))
    assert registry.for_object(Base()).name == "safe"


def test_an_object_without_a_codec_is_refused_by_its_name() -> None:
    assert_refused(CodecRegistry(), Base(), f"{__name__}.Base")


def assert_refused(registry: CodecRegistry, obj: object, text: str) -> None:
    with pytest.raises(NoCodec) as refused:
        registry.for_object(obj)
    assert text in str(refused.value)


def test_a_misspelt_codec_gets_a_suggestion() -> None:
    with pytest.raises(NoCodec, match="did you mean 'lightgbm'"):
        CodecRegistry().for_object(Base(), "lightgmb")


def test_a_registered_codec_takes_precedence_over_an_installed_one() -> None:
    class Mine:
        name: ClassVar[str] = "raw"
        version: ClassVar[int] = 1
        risk: ClassVar[Risk] = Risk.DATA
        types: ClassVar[tuple[str, ...]] = ()
        extra: ClassVar[str | None] = None

        def encode(self, *_: Any) -> dict[str, Any]:
            return {}

        def decode(self, *_: Any, **__: Any) -> None:
            return None

    registry = CodecRegistry()
    registry.register(Mine())
    assert isinstance(registry.for_ref(CodecRef("raw", 1)), Mine)
    registry.register(Mine)  # the same class again changes nothing
    with pytest.raises(InvalidOption, match="raw-1 already"):
        registry.register(codec(name="raw"))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"name": "Upper"}, "name"),
        ({"name": "thing 1"}, "name"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"risk": "data"}, "risk"),
        ({"types": ["a.B"]}, "types"),
        ({"types": (int,)}, "types"),
        ({"libraries": ["numpy"]}, "libraries"),
        ({"libraries": (1,)}, "libraries"),
        ({"encode": None}, "encode"),
        ({"decode": None}, "decode"),
    ],
)
def test_what_is_no_codec_is_not_registered(parts: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        CodecRegistry().register(codec(**parts))


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(CodecUnavailable, match=r"foreign-3 .*entry point 'foreign-3'"):
        CodecRegistry().for_ref(CodecRef("foreign", 3))


def test_a_newer_version_of_a_known_codec_asks_for_an_upgrade() -> None:
    with pytest.raises(CodecUnavailable, match=r"raw-7 is newer than raw-1.*upgrade artifact-store"):
        CodecRegistry().for_ref(CodecRef("raw", 7))


def test_a_version_that_was_dropped_asks_for_another_release(install: Install) -> None:
    install("dropper", source(version=3), "thing-3")
    with pytest.raises(CodecUnavailable, match=r"thing-2 is not installed, only thing-3.*dropper"):
        CodecRegistry().for_ref(CodecRef("thing", 2))


def test_a_codec_of_another_distribution_is_found(install: Install) -> None:
    install("third-party", source(), "thing-1")
    registry = CodecRegistry()
    assert registry.for_object(1j).name == "thing"
    assert registry.for_ref(CodecRef("thing", 1)) is registry.for_object(1j)


def test_two_distributions_with_one_codec_are_an_error_for_that_codec_only(install: Install) -> None:
    install("first-party", source(), "thing-1")
    install("second-party", source(), "thing-1")
    registry = CodecRegistry()
    assert registry.for_object(b"").name == "raw"
    uses: list[Callable[[], Any]] = [
        lambda: registry.for_ref(CodecRef("thing", 1)),
        lambda: registry.for_object(1j),
        lambda: registry.for_object(b"", "thing"),
    ]
    for use in uses:
        with pytest.raises(CodecUnavailable, match="first-party and second-party both provide"):
            use()


def test_a_broken_plug_in_is_left_out_with_a_warning_and_named_when_it_is_needed(install: Install) -> None:
    install("broken-party", "raise RuntimeError('no driver')", "thing-1")
    registry = CodecRegistry()
    with pytest.warns(RuntimeWarning, match="broken-party.*no driver"):
        assert registry.for_object(b"").name == "raw"
    assert registry.for_object(b"").name == "raw"  # and once is enough
    with pytest.raises(CodecUnavailable, match=r"broken-party.*no driver"):
        registry.for_ref(CodecRef("thing", 1))


def test_an_entry_point_that_leads_to_another_codec_is_not_used(install: Install) -> None:
    install("liar", source(name="other"), "thing-1")
    with pytest.raises(CodecUnavailable, match="calls itself other-1"):
        CodecRegistry().for_ref(CodecRef("thing", 1))


def test_an_entry_point_that_leads_to_no_codec_is_not_used(install: Install) -> None:
    install("empty", "class Made: pass", "thing-1")
    with pytest.raises(CodecUnavailable, match="is not a codec: its name None"):
        CodecRegistry().for_ref(CodecRef("thing", 1))


@pytest.mark.parametrize("name", ["thing", "thing-1x"])
def test_an_entry_point_without_a_version_is_reported(install: Install, name: str) -> None:
    install("nameless", source(), name)
    with pytest.warns(RuntimeWarning, match=rf"nameless has the codec '{name}'.*{{codec name}}-{{version}}"):
        assert CodecRegistry().for_object(b"").name == "raw"


def test_an_entry_point_of_a_dangerous_codec_is_not_chosen(install: Install) -> None:
    install("pickler", source(name="pickler", risk="CODE"), "pickler-1")
    assert_refused(CodecRegistry(), 1j, "codec='pickler'")


@pytest.mark.parametrize(
    ("names", "said", "told"),
    [
        ("ba", "'a' as input 0, and the features say 'b'", (True, [], [])),
        ("ac", "'b' as input 1, and the features say 'c'", (False, ["b"], ["c"])),
        ("aa", "'b' as input 1, and the features say 'a'", (False, ["b"], [])),
    ],
)
def test_the_first_input_that_differs_from_training_is_named(names, said, told):
    with pytest.raises(FeatureMismatch, match=f"'model' was trained on {said}") as caught:
        check_inputs("model", ("a", "b"), tuple(names))
    assert (caught.value.reordered, list(caught.value.missing), list(caught.value.extra)) == told


def test_inputs_are_those_of_training_if_they_are_equal_one_by_one():
    check_inputs("model", ("a", "b"), ("a", "b"))
    with pytest.raises(FeatureMismatch, match="3"):
        check_inputs("model", ("a", "b"), ("a", "b", "c"))
    check_inputs("model", ("Column_0", "Column_1"), ("a", "b"))
    with pytest.raises(FeatureMismatch, match="trained on 'Column_0x'"):
        check_inputs("model", ("Column_0x",), ("a",))


@pytest.mark.parametrize(
    ("name", "said"), [("jsom", r"'jsom'; did you mean 'json'\? Installed: "), ("x", r"'x'\. Installed: ")]
)
def test_a_codec_that_nobody_has_is_told_from_a_misspelt_one(name, said):
    with pytest.raises(NoCodec, match=f"no codec is called {said}"):
        CodecRegistry().for_object({}, name)


def test_the_newest_of_many_versions_is_named_and_where_it_came_from() -> None:
    registry = CodecRegistry()
    for version in range(1, 12):
        registry.register(codec(name="thing", version=version))
    with pytest.raises(CodecUnavailable, match="newer than thing-11.*upgrade the distribution that it was registered"):
        registry.for_ref(CodecRef("thing", 99))
