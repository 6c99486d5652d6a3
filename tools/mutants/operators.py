"""The changes that a mutant can consist of: one node of the syntax tree replaced by another.

Owns which nodes are worth a change and by what. Knows nothing about tests.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPPOSITES = ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
}
_PAIRS = (
    ("all", "any"),
    ("max", "min"),
    ("startswith", "endswith"),
    ("removeprefix", "removesuffix"),
    ("partition", "rpartition"),
    ("lower", "upper"),
    ("lstrip", "rstrip"),
    ("fullmatch", "match"),
)
_NAMES = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])} | {"sorted": "list", "match": "search"}
_UNTOUCHED_FUNCTIONS = {"__repr__", "__str__"}
_UNTOUCHED_NAMES = {"__all__", "__slots__", "__version__"}
_UNTOUCHED_CALLS = {"TypeVar", "cast", "lru_cache", "NewType"}
_UNTOUCHED_KEYWORDS = {"strict", "slots", "maxsize", "what"}  # assertions, sizes of caches, and text for people
_UNSWAPPED_CALLS = {"isinstance", "issubclass", "getattr", "hasattr"}  # the wrong order is an error of every call


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: the names around it, the function that has to be compiled anew, and its lines."""

    scope: tuple[str, ...] = ()
    function: tuple[str, int] | None = None
    """Qualified name and first line of the outermost function, or none for what runs when the module is imported."""
    lines: tuple[int, int] = (1, 1)
    told: bool = False
    """Whether this is what an error says."""


@dataclass(frozen=True, slots=True, eq=False)
class Mutant:
    """One change: ``new`` in the place of what ``holder.name`` (at ``index``, if it is a list) holds now."""

    holder: ast.AST
    name: str
    index: int | None
    new: ast.AST
    place: Place
    kind: str
    old: ast.AST = field(repr=False)

    @property
    def scope(self) -> str:
        """The dotted name of the class or function around it."""
        return ".".join(self.place.scope) or "<module>"

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the change in the tree for as long as the block lasts."""
        self._put(self.new)
        try:
            yield
        finally:
            self._put(self.old)

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.holder, self.name, node)
        else:
            getattr(self.holder, self.name)[self.index] = node


def mutants(tree: ast.Module, errors: frozenset[str] = frozenset()) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its text.

    ``errors`` are the names of the classes whose positional arguments are text for people, which stays.
    """
    yield from _below(tree, Place(), errors)


def _below(node: ast.AST, place: Place, errors: frozenset[str]) -> Iterator[Mutant]:
    for name, value in ast.iter_fields(node):
        if not _is_looked_into(node, name):
            continue
        children: Sequence[object] = value if isinstance(value, list) else (value,)
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_untouched(child):
                continue
            inner = _place(node, name, child, place, errors)
            where = index if isinstance(value, list) else None
            for kind, new in _changes(child, inner):
                ast.fix_missing_locations(ast.copy_location(new, child))
                yield Mutant(node, name, where, new, inner, kind, child)
            yield from _below(child, inner, errors)


def _is_looked_into(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Raise) and name == "cause":
        return False
    return name not in {"annotation", "returns", "type_comment", "ctx"}


def _is_untouched(node: ast.AST) -> bool:  # noqa: PLR0911 -- one for each kind of node
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Expr(value=ast.Constant()):
            return True
        case ast.FunctionDef(name=name) if name in _UNTOUCHED_FUNCTIONS:
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) if name in _UNTOUCHED_NAMES:
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.keyword(arg=str(name)) if name in _UNTOUCHED_KEYWORDS:
            return True
        case ast.Call(func=function) if called(function) in _UNTOUCHED_CALLS:
            return True
        case ast.Constant(value=str(text)):
            return is_prose(text)
        case ast.JoinedStr(values=parts):
            return any(isinstance(part, ast.Constant) and is_prose(str(part.value)) for part in parts)
    return False


def is_prose(text: str) -> bool:
    """Tell whether text is for people: it has blanks and letters."""
    return " " in text and any(letter.isalpha() for letter in text)


def called(function: ast.AST) -> str:
    """Return the last part of the name of what is called, or nothing."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _place(holder: ast.AST, name: str, node: ast.AST, place: Place, errors: frozenset[str]) -> Place:
    scope, function, lines = place.scope, place.function, place.lines
    told = place.told or (name == "args" and isinstance(holder, ast.Call) and _is_said(holder, node, errors))
    if isinstance(holder, ast.FunctionDef | ast.ClassDef) and name in {"body", "args", "decorator_list"}:
        scope = (*scope, holder.name) if name == "body" else scope
        if isinstance(holder, ast.FunctionDef) and name == "body" and function is None:
            first = min([holder.lineno, *(each.lineno for each in holder.decorator_list)])
            function = (".".join(scope), first)
    if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
        start = getattr(node, "lineno", lines[0])
        body = getattr(node, "body", None)
        heading = body[0].lineno - 1 if isinstance(body, list) and body else 0
        lines = (start, max(start, heading or getattr(node, "end_lineno", start)))
    return Place(scope, function, lines, told)


def _is_said(call: ast.Call, argument: ast.AST, errors: frozenset[str]) -> bool:
    """Tell whether an argument is what an error says: text, or something that text is put together from."""
    texts = any(isinstance(part, ast.JoinedStr | ast.Constant) for part in ast.walk(argument))
    return texts and called(call.func) in errors


def _changes(node: ast.AST, place: Place) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.stmt():
            yield from _statements(node)
        case ast.ExceptHandler(type=ast.AST() as kinds):
            for shorter in _fewer(kinds):
                yield "catch less", _with(node, type=shorter)
        case ast.comprehension(ifs=conditions):
            for index, condition in enumerate(conditions):
                yield "keep all", _with(node, ifs=[*conditions[:index], *conditions[index + 1 :]])
                if _is_negated_by_itself(condition):
                    continue
                yield (
                    "keep the others",
                    _with(node, ifs=[*conditions[:index], _not(condition), *conditions[index + 1 :]]),
                )
        case ast.match_case(guard=ast.AST() as guard):
            yield "no guard", _with(node, guard=None)
            if not _is_negated_by_itself(guard):
                yield "negated guard", _with(node, guard=_not(guard))
        case ast.expr() if not place.told:
            yield from _expressions(node)


def _statements(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901 -- one case for each kind of node
    match node:
        case ast.Expr():
            yield "no call", ast.Pass()
        case ast.Raise(exc=raised):
            yield "no raise", ast.Pass()
            if raised is not None:
                yield "other error", _with(node, exc=ast.Name("ZeroDivisionError", ast.Load()), cause=None)
        case ast.Assign(targets=targets) if all(
            isinstance(target, ast.Attribute | ast.Subscript) for target in targets
        ):
            yield "no assignment", ast.Pass()
        case ast.AugAssign():
            yield "no assignment", ast.Pass()
        case ast.Delete():
            yield "no deletion", ast.Pass()
        case ast.Continue():
            yield "break", ast.Break()
        case ast.Break():
            yield "continue", ast.Continue()
        case ast.Return(value=None):
            yield "no return", ast.Pass()
        case ast.Return(value=ast.AST() as value) if not isinstance(value, ast.Constant) or value.value is not None:
            yield "return none", _with(node, value=ast.Constant(None))
        case ast.If(test=test) | ast.While(test=test) if not _is_negated_by_itself(test):
            yield "negated", _with(node, test=_not(test))


def _expressions(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901, PLR0912 -- as above
    match node:
        case ast.Compare(ops=ops):
            for index, op in enumerate(ops):
                changed: list[ast.cmpop] = [*ops[:index], _COMPARISONS[type(op)](), *ops[index + 1 :]]
                yield "comparison", _with(node, ops=changed)
        case ast.BoolOp(op=op, values=values):
            yield "and/or", _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield "operand", _with(node, values=rest) if len(rest) > 1 else copy.copy(rest[0])
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "sign", copy.copy(operand)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            yield "operand", copy.copy(left)
            yield "operand", copy.copy(right)
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield "arithmetic", _with(node, op=_ARITHMETIC[type(op)]())
        case ast.IfExp(test=test) if not _is_negated_by_itself(test):
            yield "negated", _with(node, test=_not(test))
        case ast.Constant(value=value):
            for other in _values(value):
                yield "constant", ast.Constant(other)
        case ast.Subscript(slice=ast.Slice(lower=lower, upper=upper) as cut):
            if lower is not None:
                yield "slice", _with(node, slice=_with(cut, lower=None))
            if upper is not None:
                yield "slice", _with(node, slice=_with(cut, upper=None))
        case ast.Yield(value=ast.AST()):
            yield "yield none", ast.Yield(ast.Constant(None))
        case ast.Call():
            yield from _calls(node)


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name, given = called(node.func), node.args
    if name in _NAMES:
        other = _NAMES[name]
        func = ast.Name(other, ast.Load()) if isinstance(node.func, ast.Name) else _with(node.func, attr=other)
        yield "name", _with(node, func=func)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is None or keyword.arg in _UNTOUCHED_KEYWORDS or _is_flag(keyword.value):
            continue
        yield "no argument", _with(node, keywords=[*node.keywords[:index], *node.keywords[index + 1 :]])
    if name in _UNSWAPPED_CALLS:
        return
    for index in range(len(given) - 1):
        left, right = given[index : index + 2]
        if all(isinstance(side, ast.Name | ast.Attribute) for side in (left, right)):
            yield "swapped", _with(node, args=[*given[:index], right, left, *given[index + 2 :]])


def _values(value: object) -> Iterator[str | bytes | float]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
            yield value - 1
        case float():
            yield value * 2 if value else 1.0
        case str():
            yield "" if value else "x"
        case bytes():
            yield b"" if value else b"x"


def _fewer(kinds: ast.AST) -> Iterator[ast.AST]:
    if isinstance(kinds, ast.Tuple):
        for index in range(len(kinds.elts)):
            yield _with(kinds, elts=[*kinds.elts[:index], *kinds.elts[index + 1 :]])
    else:
        yield ast.Tuple([], ast.Load())


def _is_negated_by_itself(test: ast.AST) -> bool:
    """Tell whether another change already turns the whole condition round."""
    match test:
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(ops=[op]):
            return isinstance(op, _OPPOSITES)
    return False


def _is_flag(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _not(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _with(node: Node, **changes: object) -> Node:
    made = copy.copy(node)
    for name, value in changes.items():
        setattr(made, name, value)
    return made
