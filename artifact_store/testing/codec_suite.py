"""The codec contract as tests: what every codec has to do, whatever it stores.

A codec is proven by a subclass with two fixtures, and a third where there is something to refuse::

    class TestMyCodec(CodecSuite):
        @pytest.fixture
        def codec(self):
            return MyCodec()

        @pytest.fixture
        def examples(self):                      # objects of every shape that the codec promises to hold
            return [MyModel(), MyModel(depth=3)]

        @pytest.fixture
        def refused(self):                       # objects of its types that it cannot hold exactly
            return [MyModel(callback=print)]

        def equal(self, one, other):             # bit for bit, and predictions too
            return one.weights.tobytes() == other.weights.tobytes()

What a codec does not promise is said by class attributes, so that it is a decision and not an omission. Files are
damaged here as no store would hand them out (it compares digests first): decoding may still return something, since
not every format notices, but the only exception is ``Corrupt``. Needs pytest, and nothing else beyond the library.
"""

from __future__ import annotations

import copy
import random
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from artifact_store.canonical import canonical, parse_json
from artifact_store.core.codec import JSON, Codec, Risk, libraries_of
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable

STEM = "model"
NEIGHBOUR = "model_2"
"""A component whose name begins like the other's: files belong to the one before the dot."""
THREADS = 4
FLIPS = 24
Examples = Sequence[Any]
Options = Mapping[str, JSON]

_watch = threading.local()
_watching = False


def _count_unpickling(event: str, _arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class":
        _watch.count = getattr(_watch, "count", 0) + 1


class CodecSuite:
    """What a codec promises to the store. See the module for how to use it."""

    deterministic: ClassVar[bool] = True
    """Equal objects give equal bytes."""
    re_encodes: ClassVar[bool] = True
    """What was decoded can be stored again, with the same bytes if the codec is deterministic."""
    parser_is_memory_safe: ClassVar[bool] = True
    """Damaged files can be parsed in this process. Set it to false, with the reason beside it, if they may kill it."""

    @pytest.fixture
    def codec(self) -> Codec:
        """Return the codec to prove; subclasses have to."""
        pytest.fail("a subclass of CodecSuite has a fixture named codec")

    @pytest.fixture
    def examples(self) -> Examples:
        """Return objects that have to come back equal; subclasses have to."""
        pytest.fail("a subclass of CodecSuite has a fixture named examples")

    @pytest.fixture
    def refused(self) -> Examples:
        """Return objects that the codec cannot hold exactly."""
        return ()

    def equal(self, one: Any, other: Any) -> bool:
        """Tell whether an example and what came back are the same. Override it for what ``==`` does not decide."""
        return bool(one == other)

    def snapshot(self, example: Any) -> Any:
        """Return a copy to compare an example with later."""
        return copy.deepcopy(example)

    def into(self, example: Any, scratch: Path) -> Any | None:
        """Return what to decode ``example`` into, for codecs that cannot decode it otherwise; ``scratch`` is empty."""
        del example, scratch
        return None

    # ------------------------------------------------------------ what it says about itself

    def test_what_it_declares_is_well_formed(self, codec: Codec) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,63}", codec.name)
        assert isinstance(codec.version, int)
        assert codec.version >= 1
        assert isinstance(codec.risk, Risk)
        assert codec.types
        assert all(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_<]\w*>?)+", kind) for kind in codec.types)
        assert codec.extra is None or isinstance(codec.extra, str)
        assert isinstance(codec, Codec)
        libraries = libraries_of(codec)
        assert isinstance(libraries, tuple)
        assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in libraries)

    def test_it_is_cheap_to_construct_and_has_no_state(self, codec: Codec) -> None:
        again = type(codec)()
        assert (again.name, again.version) == (codec.name, codec.version)
        assert (again.risk, again.types) == (codec.risk, codec.types)
        assert not getattr(codec, "__dict__", {})

    def test_it_is_chosen_for_its_examples(self, codec: Codec, examples: Examples) -> None:
        for example in examples:
            names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(example).__mro__}
            assert names & set(codec.types)
            assert getattr(codec, "accepts", lambda _: True)(example)

    # ------------------------------------------------------------ there and back

    def test_an_object_comes_back_equal(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for place, example in enumerate(examples):
            back = self.there_and_back(codec, example, tmp_path / str(place))
            assert self.equal(example, back), example

    def test_an_object_that_came_back_can_be_stored_again(
        self, codec: Codec, examples: Examples, tmp_path: Path
    ) -> None:
        if not self.re_encodes:
            pytest.skip("the codec says that what it decodes is of another type")
        for place, example in enumerate(examples):
            first, second = tmp_path / f"{place}-first", tmp_path / f"{place}-second"
            back = self.there_and_back(codec, example, first)
            assert self.equal(example, self.there_and_back(codec, back, second)), example
            if self.deterministic:
                assert _contents(first / "files") == _contents(second / "files"), example

    def test_encoding_does_not_change_its_argument(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for place, example in enumerate(examples):
            before = self.snapshot(example)
            self.there_and_back(codec, example, tmp_path / str(place))
            assert self.equal(before, example), example

    def test_options_are_json(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for _, _, options in self._encoded(codec, examples, tmp_path):
            assert isinstance(options, Mapping)
            assert through_json(options) == options

    def test_equal_objects_give_equal_bytes(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        if not self.deterministic:
            pytest.skip("the codec says that its bytes differ from one time to the next")
        for place, example in enumerate(examples):
            first, second = _made(tmp_path / f"{place}-first"), _made(tmp_path / f"{place}-second")
            options = codec.encode(example, first, STEM)
            assert codec.encode(self.snapshot(example), second, STEM) == options
            assert _contents(first) == _contents(second), example

    # ------------------------------------------------------------ the directory

    def test_it_writes_only_files_of_its_own_name(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for place, example in enumerate(examples):
            directory = _made(tmp_path / str(place))
            (directory / NEIGHBOUR).with_suffix(".json").write_bytes(b"another component's")
            codec.encode(example, directory, STEM)
            names = {path.name for path in directory.iterdir()} - {f"{NEIGHBOUR}.json"}
            assert names
            assert all(name.startswith(f"{STEM}.") for name in names), names
            assert (directory / f"{NEIGHBOUR}.json").read_bytes() == b"another component's"

    def test_two_components_share_a_directory(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        directory = _made(tmp_path / "files")
        one, other = examples[0], examples[-1]
        options = {STEM: codec.encode(one, directory, STEM), NEIGHBOUR: codec.encode(other, directory, NEIGHBOUR)}
        for stem, example in ((STEM, one), (NEIGHBOUR, other)):
            assert self.equal(example, self._decoded(codec, example, directory, options[stem], stem))

    def test_decoding_leaves_the_files_as_they_are(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            before = _contents(directory)
            self._decoded(codec, example, directory, options)
            assert _contents(directory) == before

    def test_what_was_decoded_outlives_the_directory(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            back = self._decoded(codec, example, directory, options)
            for path in _files(directory):
                path.write_bytes(b"")  # a mapped file would end the process now, an open one would show it
            shutil.rmtree(directory)
            assert self.equal(example, back)

    def test_what_it_refuses_leaves_no_file(self, codec: Codec, refused: Examples, tmp_path: Path) -> None:
        for place, example in enumerate(refused):
            directory = _made(tmp_path / str(place))
            with pytest.raises(NotEncodable):
                codec.encode(example, directory, STEM)
            assert list(directory.iterdir()) == [], example

    # ------------------------------------------------------------ use by many, and misuse

    def test_many_threads_use_one_codec(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        def use(place: int) -> dict[str, bytes]:
            example = examples[place % len(examples)]
            assert self.equal(example, self.there_and_back(codec, example, tmp_path / str(place)))
            return _contents(tmp_path / str(place) / "files")

        with ThreadPoolExecutor(THREADS) as pool:
            written = list(pool.map(use, range(THREADS * len(examples))))
        if self.deterministic:
            for place, files in enumerate(written):
                assert files == written[place % len(examples)]

    def test_an_unknown_thing_to_fill_is_refused(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        options = codec.encode(examples[0], tmp_path, STEM)
        with pytest.raises(InvalidOption):
            codec.decode(tmp_path, STEM, options, into=object())

    def test_decoding_data_unpickles_nothing(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        if codec.risk is not Risk.DATA:
            pytest.skip("the codec says that it does more than read data")
        global _watching  # noqa: PLW0603 -- an audit hook stays for the life of the process: one is enough
        if not _watching:
            sys.addaudithook(_count_unpickling)
            _watching = True
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            into = self.into(example, _empty_beside(directory))
            _watch.count = 0
            codec.decode(directory, STEM, options, into=into)
            assert _watch.count == 0, example

    # ------------------------------------------------------------ damage

    def test_damaged_files_are_corrupt_and_nothing_else(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        if not self.parser_is_memory_safe:
            pytest.skip("the codec says that damaged files may end the process; the store compares digests before")
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            for path in _files(directory):
                whole = path.read_bytes()
                for data in damaged(whole):
                    path.write_bytes(data)
                    self._decode_damaged(codec, example, directory, through_json(options))
                path.write_bytes(whole)

    def test_a_missing_file_is_corrupt(self, codec: Codec, examples: Examples, tmp_path: Path) -> None:
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            for path in _files(directory):
                aside = path.rename(tmp_path / "aside")
                with pytest.raises(Corrupt):
                    self._decoded(codec, example, directory, options)
                aside.rename(path)

    def test_foreign_options_are_corrupt_and_nothing_else(
        self, codec: Codec, examples: Examples, tmp_path: Path
    ) -> None:
        for example, directory, options in self._encoded(codec, examples, tmp_path):
            for foreign in _foreign(through_json(options)):
                self._decode_damaged(codec, example, directory, foreign)

    def _decode_damaged(self, codec: Codec, example: Any, directory: Path, options: Options) -> None:
        try:
            self._decoded(codec, example, directory, options)
        except Corrupt as error:
            assert str(error)  # noqa: PT017 -- that it is this one is the assertion; others pass through and fail

    def there_and_back(self, codec: Codec, example: Any, scratch: Path) -> Any:
        """Encode and decode below ``scratch``, with the options going through JSON as they do in a manifest."""
        directory = _made(scratch / "files")
        options = through_json(codec.encode(example, directory, STEM))
        return self._decoded(codec, example, directory, options)

    def _encoded(self, codec: Codec, examples: Examples, scratch: Path) -> Iterator[tuple[Any, Path, Options]]:
        """Yield each example, the directory that it was encoded in, and its options."""
        for place, example in enumerate(examples):
            directory = _made(scratch / str(place))
            yield example, directory, codec.encode(example, directory, STEM)

    def _decoded(self, codec: Codec, example: Any, directory: Path, options: Options, stem: str = STEM) -> Any:
        return codec.decode(directory, stem, options, into=self.into(example, _empty_beside(directory)))


def through_json(options: Options) -> dict[str, Any]:
    """Return options as they come back from a manifest."""
    back: dict[str, Any] = parse_json(canonical(options), limit=1 << 23, what="the options")
    return back


def damaged(whole: bytes) -> Iterator[bytes]:
    """Yield what bytes can become on the way: nothing, a part, one flipped bit, more than there was."""
    yield b""
    for share in (0.01, 0.25, 0.5, 0.9, 0.999):
        yield whole[: int(len(whole) * share)]
    chance = random.Random(len(whole))  # noqa: S311 -- to be the same in every run
    edges = [*range(min(8, len(whole))), *range(max(0, len(whole) - 8), len(whole))]
    for at in edges + [chance.randrange(len(whole)) for _ in range(FLIPS if whole else 0)]:
        flipped = bytearray(whole)
        flipped[at] ^= 1 << chance.randrange(8)
        yield bytes(flipped)
    yield whole + b"\0"
    yield whole + whole


def _foreign(options: Options) -> Iterator[dict[str, Any]]:
    yield {}
    for name in options:
        yield {other: value for other, value in options.items() if other != name}
        strange: Sequence[JSON] = (None, True, -1, 1 << 62, "", "../x", [], [None], {}, {"": None})
        for value in strange:
            yield {**options, name: value}


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _empty_beside(directory: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="into-", dir=directory.parent))


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in _files(directory)}
