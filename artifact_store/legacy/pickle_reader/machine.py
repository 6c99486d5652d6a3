"""Read a pickle without running it: every opcode of protocols 0 to 5, in plain Python, over a fixed list of names.

Nothing is imported, looked up or called because the bytes say so. ``legacy/pickle_reader/names.py`` has the names; an
object of a library becomes an inert :class:`~artifact_store.legacy.pickle_reader.stubs.Stub`. Extension codes,
persistent ids and buffers from elsewhere are refused. What comes out is a tree: finite however it is walked, no deeper
and no larger than the limits, with no part of it still unfinished. The reference is ``Lib/pickle.py`` and
``pickletools`` of CPython 3.11.

Why: docs/decisions/0020-old-pickles-are-read-without-running-them.md
"""

from __future__ import annotations

import codecs
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Final, NoReturn

from artifact_store.legacy.pickle_reader import names, numpy_parts
from artifact_store.legacy.pickle_reader.cursor import Cursor
from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from artifact_store.legacy.pickle_reader.stubs import Name, Stub, Unbuilt, refused, within
from artifact_store.legacy.pickle_reader.tree import check_tree

_PROTOCOLS: Final = 5
_MAX_INT_BYTES: Final = 1024
_MEMO_PLACES: Final = 1 << 32  # of four bytes; text can name more, of which the hashes can be chosen to be equal
_STOP: Final = ord(".")
_MARK: Final = object()


def loads(data: bytes, *, what: str = "a pickle", limits: Limits = LIMITS) -> Any:
    """Return the one value that ``data`` holds, as plain values and stubs.

    Raises:
        Corrupt: the bytes are not a pickle, or exceed the limits.
        RiskRefused: only running code could tell what it is; the text says which name.
    """
    machine = Machine(data, what=what, limits=limits)
    value = machine.load()
    machine.finish()
    return value


class Machine(Cursor):
    """A pickle machine for the concatenated pickles in ``data``, with one budget for all of them.

    ``persistent`` says what a persistent id stands for; without it persistent ids are refused.
    """

    def __init__(
        self,
        data: bytes,
        *,
        what: str,
        limits: Limits = LIMITS,
        find: Callable[[str, Any, Any], Name] = names.find_name,
        call: Callable[[str, Any, Any], Any] = names.call_name,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(data, what)
        self._limits = limits
        self._steps_left = limits.steps
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._marks: list[int] = []
        self._numeric_keys_left = limits.numeric_keys
        self._find = find
        self._call = call
        self._persistent = persistent
        self._depth = 0
        if len(data) > limits.size:
            self.wrong(f"has {len(data):,} bytes, more than the {limits.size:,} that are read")

    def load(self) -> Any:
        """Return the value of the pickle that begins here, and move behind it."""
        with within(self.what):
            value = self._inner()
        check_tree(value, what=self.what, depth=self._limits.depth, size=self._limits.expanded)
        return value

    def _inner(self) -> Any:
        """Run the pickle that begins here with a stack and a memo of its own."""
        outer = self._stack, self._memo, self._marks
        self._stack, self._memo, self._marks = [], {}, []
        value = self._run()
        self._stack, self._memo, self._marks = outer
        return value

    def _run(self) -> Any:
        while (code := self.byte()) != _STOP:
            self._steps_left -= 1
            if self._steps_left < 0:
                self.wrong(f"takes more than {self._limits.steps:,} steps")
            step = self._step.get(code)
            if step is None:
                self.wrong(f"has the unknown opcode {code:#04x}")
            step(self)
        value = self._pop()
        if self._stack:
            self.wrong("ends with more than one value")
        return value

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            self.wrong("takes a value from an empty stack")
        return self._stack[-1]

    def _discard(self) -> None:
        """Drop the top, which may be a mark."""
        if self._stack and self._stack[-1] is _MARK:
            self._pop_mark()
        else:
            self._pop()

    def _mark(self) -> None:
        if len(self._marks) >= self._limits.depth:
            self.wrong(f"is nested more than {self._limits.depth} deep")
        self._marks.append(len(self._stack))
        self._stack.append(_MARK)

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            self.wrong("has no mark to go back to")
        place = self._marks.pop()
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    # ------------------------------------------------------------ plain values

    def _int_text(self) -> None:
        text = self.ascii()
        self._push(text == "01" if text in ("00", "01") else self._parsed(text))

    def _parsed(self, text: str, kind: Callable[[str], Any] = int) -> Any:
        if len(text) > 2 * _MAX_INT_BYTES:
            self.wrong("has a number of too many digits")
        try:
            return kind(text)
        except ValueError:
            self.wrong("has an invalid number")

    def _long(self, size: int) -> None:
        if size > _MAX_INT_BYTES:
            self.wrong("has a number of too many digits")
        self._push(int.from_bytes(self.take(size), "little", signed=True))

    def _text(self, size: int) -> None:
        try:
            self._push(self.take(size).decode("utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            self.wrong("has text that is not UTF-8")

    def _text_line(self) -> None:
        try:
            self._push(self.line().decode("raw-unicode-escape"))
        except UnicodeDecodeError:
            self.wrong("has text with an invalid escape")

    def _old_text_line(self) -> None:
        line = self.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):  # noqa: PLR2004 -- two quotes
            self.wrong("has text without quotes")
        try:
            self._push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))
        except ValueError:
            self.wrong("has text with an invalid escape")

    # ------------------------------------------------------------ containers

    def _tuple(self, size: int) -> None:
        self._push(tuple([self._pop() for _ in range(size)][::-1]))

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise refused(self.what, f"appends to {_kind(target)}")
        target.extend(values)

    def _set_items(self, pairs: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, dict):
            raise refused(self.what, f"sets items of {_kind(target)}")
        if len(pairs) % 2:
            self.wrong("has a key without a value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[self._key(key)] = value

    def _dict(self) -> None:
        pairs = self._pop_mark()
        self._push({})
        self._set_items(pairs)

    def _key(self, key: Any) -> Any:
        if not isinstance(key, str | bytes):
            self._count_numeric_keys(1)
        return names.checked_key(key)

    def _count_numeric_keys(self, count: int) -> None:
        self._numeric_keys_left -= count
        if self._numeric_keys_left < 0:
            self.wrong(f"has more than {self._limits.numeric_keys:,} keys that are not text")

    def _add_items(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise refused(self.what, f"adds to {_kind(target)}")
        target.update(self._key(value) for value in values)

    # ------------------------------------------------------------ the memo

    def _put(self, place: int) -> None:
        if not 0 <= place < _MEMO_PLACES:
            self.wrong("stores a value under an invalid memo index")
        value = self._top()
        self._memo[place] = value
        if isinstance(value, Unbuilt):
            value.places.append(place)

    def _get(self, place: int) -> None:
        if place not in self._memo:
            self.wrong("refers to a memo entry that does not exist")
        self._push(self._memo[place])

    # ------------------------------------------------------------ names and objects

    def _name_in_lines(self) -> Name:
        module, name = (self.line().decode("utf-8", "replace") for _ in range(2))
        return self._find(self.what, module, name)

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._push(self._find(self.what, module, name))

    def _reduce(self) -> None:
        args, function = self._pop(), self._pop()
        if isinstance(function, Name) and isinstance(args, tuple):
            self._count_numeric_keys(sum(len(part) for part in args if type(part) is list))  # it may become a set
        self._push(self._call(self.what, function, args))

    def _new(self) -> None:
        args, kind = self._pop(), self._pop()
        self._push(names.new_stub(self.what, kind, args))

    def _new_with_keywords(self) -> None:
        if self._pop() != {}:
            raise refused(self.what, "makes an object with keyword arguments")
        self._new()

    def _instance(self) -> None:
        kind = self._name_in_lines()
        self._push(names.new_stub(self.what, kind, tuple(self._pop_mark())))

    def _object(self) -> None:
        values = self._pop_mark()
        if not values:
            self.wrong("makes an object without a class")
        self._push(names.new_stub(self.what, values[0], tuple(values[1:])))

    def _build(self) -> None:
        state, target = self._pop(), self._pop()
        if isinstance(target, Unbuilt):
            if target.dtype is None:
                built = numpy_parts.built_array(state)
            else:
                built = numpy_parts.built_dtype(target.dtype, state)
            for place in target.places:
                self._memo[place] = built
            self._push(built)
        elif isinstance(target, Stub) and target.state is None:
            target.state = state
            self._push(self._array_in_file(target) if target.kind == names.ARRAY_IN_FILE else target)
        elif isinstance(target, OrderedDict) and isinstance(state, dict):
            self._push(target)  # the versions of the modules, which torch keeps with a state dict
        else:
            raise refused(self.what, f"sets the state of {_kind(target)}")

    def _array_in_file(self, stub: Stub) -> Any:
        """Return the array whose bytes joblib wrote right behind this opcode."""
        fields: Any = stub.fields
        dtype, shape, order = fields.get("dtype"), fields.get("shape"), fields.get("order")
        size = numpy_parts.array_bytes(shape, dtype)
        if dtype.hasobject:
            return self._nested_array()
        if fields.get("numpy_array_alignment_bytes") is not None:
            self.take(self.byte())
        return numpy_parts.array_of(self.take(size), shape, dtype, "F" if order == "F" else "C")

    def _nested_array(self) -> Any:
        self._depth += 1
        if self._depth > self._limits.depth:
            self.wrong(f"is nested more than {self._limits.depth} deep")
        array = self._inner()
        self._depth -= 1
        if not isinstance(array, numpy_parts.numpy().ndarray):
            self.wrong("has another value where an array of objects is expected")
        return array

    # ------------------------------------------------------------ what is left

    def _protocol(self) -> None:
        if self.byte() > _PROTOCOLS:
            self.wrong("is of a later protocol than 5")

    def _frame(self) -> None:
        if self.number("<Q") > self.left:
            self.wrong("ends early")

    def _persistent_id(self, identity: Any) -> None:
        if self._persistent is None:
            raise refused(self.what, "has a persistent id, which refers to data outside of it")
        self._push(self._persistent(identity))

    def _refuse(self, found: str) -> NoReturn:
        raise refused(self.what, found)

    _steps: ClassVar[dict[str, Callable[[Machine], object]]] = {
        "(": _mark,
        "0": _discard,
        "1": _pop_mark,
        "2": lambda self: self._push(self._top()),
        # the memo
        "p": lambda self: self._put(self._parsed(self.ascii())),
        "q": lambda self: self._put(self.byte()),
        "r": lambda self: self._put(self.number("<I")),
        "\x94": lambda self: self._put(len(self._memo)),
        "g": lambda self: self._get(self._parsed(self.ascii())),
        "h": lambda self: self._get(self.byte()),
        "j": lambda self: self._get(self.number("<I")),
        # plain values
        "N": lambda self: self._push(None),
        "\x88": lambda self: self._push(True),
        "\x89": lambda self: self._push(False),
        "I": _int_text,
        "L": lambda self: self._push(self._parsed(self.ascii().removesuffix("L"))),
        "F": lambda self: self._push(self._parsed(self.ascii(), float)),
        "J": lambda self: self._push(self.number("<i")),
        "K": lambda self: self._push(self.byte()),
        "M": lambda self: self._push(self.number("<H")),
        "\x8a": lambda self: self._long(self.byte()),
        "\x8b": lambda self: self._long(self.number("<I")),
        "G": lambda self: self._push(self.number(">d")),
        "S": _old_text_line,
        "T": lambda self: self._push(self.take(self.number("<I")).decode("latin-1")),
        "U": lambda self: self._push(self.take(self.byte()).decode("latin-1")),
        "V": _text_line,
        "X": lambda self: self._text(self.number("<I")),
        "\x8c": lambda self: self._text(self.byte()),
        "\x8d": lambda self: self._text(self.number("<Q")),
        "B": lambda self: self._push(self.take(self.number("<I"))),
        "C": lambda self: self._push(self.take(self.byte())),
        "\x8e": lambda self: self._push(self.take(self.number("<Q"))),
        "\x96": lambda self: self._push(bytearray(self.take(self.number("<Q")))),
        # containers
        ")": lambda self: self._push(()),
        "]": lambda self: self._push([]),
        "}": lambda self: self._push({}),
        "\x8f": lambda self: self._push(set()),
        "\x85": lambda self: self._tuple(1),
        "\x86": lambda self: self._tuple(2),
        "\x87": lambda self: self._tuple(3),
        "t": lambda self: self._push(tuple(self._pop_mark())),
        "l": lambda self: self._push(self._pop_mark()),
        "d": _dict,
        "\x91": lambda self: self._push(frozenset(map(self._key, self._pop_mark()))),
        "a": lambda self: self._append([self._pop()]),
        "e": lambda self: self._append(self._pop_mark()),
        "s": lambda self: self._set_items([self._pop(), self._pop()][::-1]),
        "u": lambda self: self._set_items(self._pop_mark()),
        "\x90": lambda self: self._add_items(self._pop_mark()),
        # names and objects
        "c": lambda self: self._push(self._name_in_lines()),
        "\x93": _stack_global,
        "R": _reduce,
        "\x81": _new,
        "\x92": _new_with_keywords,
        "i": _instance,
        "o": _object,
        "b": _build,
        # about the pickle itself
        "\x80": _protocol,
        "\x95": _frame,
        "P": lambda self: self._persistent_id(self.line().decode("latin-1")),
        "Q": lambda self: self._persistent_id(self._pop()),
        **dict.fromkeys("\x82\x83\x84", lambda self: self._refuse("uses an extension code, which stands for a class")),
        **dict.fromkeys("\x97\x98", lambda self: self._refuse("uses an out-of-band buffer")),
    }
    _step: ClassVar[dict[int, Callable[[Machine], object]]] = {ord(code): step for code, step in _steps.items()}


def _kind(value: Any) -> str:
    return str(value.kind) if isinstance(value, Stub) else f"a {type(value).__name__}"
