"""Changes of inputs: of bytes whatever they mean, of JSON values, of text, and of pickles."""

from __future__ import annotations

import json
import pickletools
import string
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from artifact_store.canonical import MAX_DEPTH, checksum
from tests.proofs.fuzz.running import MAX_INPUT

_SIZES = (0, 1, 127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 63, (1 << 64) - 1)


def change_bytes(data: bytes, chance: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """Flip, cut, repeat, move, overwrite with a size, or put in a word."""
    changed = bytearray(data)
    at = chance.randrange(len(changed) + 1)
    match chance.randrange(9 if tokens else 7):
        case 0 if changed:
            place = chance.randrange(len(changed))
            changed[place] ^= 1 << chance.randrange(8)
        case 1:
            del changed[at:]
        case 2:
            del changed[at : at + 1 + int(chance.expovariate(0.1))]
        case 3:
            changed[at:at] = changed[at : at + 1 + int(chance.expovariate(0.05))] * chance.choice((1, 1, 2, 50))
        case 4:
            number = struct.pack(chance.choice("<>") + "Q", chance.choice(_SIZES))
            width = chance.choice((1, 2, 4, 8))
            changed[at : at + width] = number[:width]
        case 5:
            changed[at : at + 1] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        case 6 if changed:
            source = chance.randrange(len(changed))
            piece = changed[source : source + chance.randrange(1, 64)]
            changed[at : at + len(piece)] = piece
        case _ if tokens:
            changed[at:at] = chance.choice(tokens)
    return bytes(changed)


# ---------------------------------------------------------------- JSON

_ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 5e-324, 1 << 31, 1 << 53, 1 << 63, 1 << 64, -(1 << 63), 1 << 1030),
    *(
        "",
        " ",
        "NaN",
        "Infinity",
        "..",
        "../..",
        "a/b",
        "\\",
        "\0",
        "\u2028",
        "\U0010ffff",
        "１",
        "é",
        "con",
        "a" * 300,
    ),
    *("2024-08-16T14:23:01.000000Z", "0000-00-00T00:00:00.000000Z", "20240816_142301", "0" * 64, "a" * 32),
    *([], {}, [[]], [{}], {"": None}, {"a": {"b": []}}, [None] * 40),
)


def change_json(data: bytes, chance: Random) -> bytes:
    """Change one value somewhere in a document, mostly sealing it anew; what is no JSON is changed as bytes."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return change_bytes(data, chance, _JSON_WORDS)
    if chance.random() < 0.1:
        return change_bytes(data, chance, _JSON_WORDS)
    value = _changed(value, chance)
    if isinstance(value, dict) and chance.random() < 0.9:
        value = {name: each for name, each in value.items() if name != "checksum"}  # it may be one of _ODD itself
        try:
            sealed = checksum(value)
        except ValueError:
            sealed = "0" * 64
        value = value | {"checksum": sealed}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


_JSON_WORDS = (
    *(b"NaN", b"-Infinity", b"1e999", b"\\ud800", b"\\u0000", b"\xff", b"\xef\xbb\xbf", b'{"a":1,"a":2}', b"null"),
    *(b"[" * 40, b'{"a":' * 40, b"9" * 400, b"9" * 5000, b"1E400", b"-0", b"0.1e-400", b"}", b"]", b",", b'"'),
)


def _changed(value: Any, chance: Random) -> Any:
    """Walk down by chance, and change what is there."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(list(value))
        if chance.random() < 0.15:
            return _changed_dict(value, name, chance)
        return value | {name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return _changed_list(value, place, chance)
    return _replaced(value, chance)


def _changed_dict(value: dict[str, Any], name: str, chance: Random) -> dict[str, Any]:
    copy = dict(value)
    match chance.randrange(4):
        case 0:
            del copy[name]
        case 1:
            copy[_text(name, chance)] = copy.pop(name)
        case 2:
            copy[chance.choice(_TEXTS)] = chance.choice(_ODD)
        case _:
            copy[name] = copy[chance.choice(list(copy))]
    return copy


def _changed_list(value: list[Any], place: int, chance: Random) -> list[Any]:
    match chance.randrange(5):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return value[: place + 1] + value[place:]
        case 2:
            return value[::-1]
        case _:
            return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]


_TEXTS = tuple(each for each in _ODD if isinstance(each, str))


def _replaced(value: Any, chance: Random) -> Any:
    if chance.random() < 0.5:
        return chance.choice(_ODD)
    if isinstance(value, str):
        return _text(value, chance)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return chance.choice((value + 1, value - 1, -value, value * 32, float(value) if abs(value) < 1e300 else 0))
    if chance.random() < 0.1:
        deep: Any = value
        for _ in range(chance.randrange(MAX_DEPTH + 4)):
            deep = [deep] if chance.random() < 0.5 else {"a": deep}
        return deep
    return [value]


def _text(text: str, chance: Random) -> str:
    return change_text(text.encode("utf-8", "surrogatepass"), chance, _TEXTS).decode("utf-8", "replace")


# ---------------------------------------------------------------- text


def change_text(data: bytes, chance: Random, words: Sequence[str] = ()) -> bytes:
    """Change letters of a text, or put a word in; the result is mostly text again."""
    text = data.decode("utf-8", "replace")
    at = chance.randrange(len(text) + 1)
    letters = string.printable + "\0\x7f\x85\u00a0\u0130\u017f\u212a\u2024\u2044\u2028\uff0e\uff11\ufeff\U0001f600é"
    match chance.randrange(6):
        case 0:
            text = text[:at] + chance.choice(letters) + text[at:]
        case 1:
            text = text[:at] + chance.choice(letters) + text[at + 1 :]
        case 2:
            text = text[:at] + text[at + 1 + int(chance.expovariate(0.5)) :]
        case 3:
            text = text[:at] + text[at : at + chance.randrange(1, 12)] * chance.choice((2, 3, 40)) + text[at:]
        case 4 if words:
            text = text[:at] + chance.choice(words) + text[at:]
        case _:
            text = text[at:] + text[:at] if chance.random() < 0.3 else text.swapcase()
    return text.encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- pickles


def change_pickle(data: bytes, chance: Random, parts: Sequence[bytes]) -> bytes:
    """Leave out, repeat, move or put in whole opcodes; ``parts`` are opcodes with their arguments."""
    places = _opcodes(data)
    if len(places) < 3 or chance.random() < 0.3:
        return change_bytes(data, chance, parts)
    ends = [*places[1:], len(data)]
    pieces = [data[start:end] for start, end in zip(places, ends, strict=True)]
    at = chance.randrange(len(pieces))
    match chance.randrange(5):
        case 0:
            del pieces[at]
        case 1:
            pieces[at:at] = [pieces[at]] * min(chance.choice((1, 2, 300)), MAX_INPUT // len(pieces[at]))
        case 2:
            other = chance.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3:
            pieces[at:at] = [chance.choice(parts)]
        case _:
            pieces[at] = chance.choice(parts)
    return b"".join(pieces)


def _opcodes(data: bytes) -> list[int]:
    """Return where opcodes begin, up to the first that is none."""
    places: list[int] = []
    try:
        for _, _, place in pickletools.genops(data):
            places.append(place or 0)
            if len(places) > 20_000:
                break
    except Exception:  # noqa: BLE001 -- the standard library trips over many of them; what it found is enough
        pass
    return places


Mutator = Callable[[bytes, Random], bytes]
