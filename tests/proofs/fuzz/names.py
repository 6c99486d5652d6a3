"""References and names: what is read has one spelling, and leaves the root on no platform."""

from __future__ import annotations

import ntpath
import posixpath
from collections.abc import Callable
from random import Random

from artifact_store.core import keys
from artifact_store.core.file_names import stored_name
from artifact_store.core.names import ModelKey, RunId, check_alias, check_component, check_model_type
from artifact_store.core.references import RunRef
from artifact_store.core.symbols import check_symbol, spelled, typed, untyped
from artifact_store.errors import InvalidName, InvalidReference
from artifact_store.storage.local.paths import parts_of_key, parts_of_prefix
from tests.proofs.fuzz.changing import change_text
from tests.proofs.fuzz.running import Target

WORDS = (
    *(";2F", ";2f", ";3B", ";C3", ";43ON", ";2E", "=X", "^", "!", "&", ":USDT", ":20240816"),
    *("../", "..", "/", "\\", "//", ":", "@", "%2e%2e%2f", "%252e", ";", "?", "#", "*", "[1]", "~", "$HOME", "..\\..\\"),
    *("con", "nul", "aux.txt", "prn .txt", "COM1", "com¹", "lpt9.json", "conin$", ".json", ".history", ".tmp-", "_locks", "_store.json"),
    *("latest", "manifest", "metadata", "gru", "BTCEUR", "20240816_142301", "_k3f8qz", "２０２４", "٢٠٢٤", "file://", "C:"),
    *("\0", "\n", "\r\n", "\u202e", "\u2025", "\uff0f", "\ufe52", "a" * 64, "a" * 100, " ", ".", "-", "_"),
)  # fmt: skip


def corpus() -> list[bytes]:
    """References, keys and names as people write them, and as others did who wanted out."""
    texts = [
        *("gru/BTCEUR@latest", "gru/BTCEUR:20240816_142301_k3f8qz", "gru", "lightgbm/BTC-EUR", "gru:2024", "ppo@best"),
        *("20240816_142301", "20240816_142301_k3f8qz", "model.json", "model.dir/a/b.txt", "model.npz", "weights_1"),
        *("gru/BTCEUR/20240816_142301/manifest.json", "gru/BTCEUR/latest.history/0000000032.json", "_store.json"),
        *("gru/BTCEUR/20240816_142301/_signatures/659ce7b716a1f7d0.04ba383cf2ddd7b4.json", "gru/20240816_142301/model.txt"),
        *("../../etc/passwd", "/etc/passwd", "..\\..\\windows", "file:///etc/passwd", "C:\\windows", "gru/..%2f..%2f", "con"),
        *("gru/BTC;2FUSDT:USDT@latest", "gru/EURUSD=X:20240816", "BTC;2FUSDT", "gru/a;3B2F", ";43ON.DE", "gru/X;3A20240816"),
        *("gru/BTC/EUR", "BTC/EUR", "GRU/btc", "gru/BTCEUR@", "gru/BTCEUR:", "@", ":", "/", "", " gru", "gru\n", "model.json\n"),
    ]  # fmt: skip
    return [text.encode() for text in texts]


def read(data: bytes) -> str:
    """Read the text as everything that it could be."""
    text = data.decode("utf-8", "surrogateescape")
    read_as = [name for name, reader in READERS.items() if _holds(reader, text)]
    for look in (keys.run_in, keys.symbol_in, keys.alias_in, keys.model_type_in, keys.probe_in, keys.is_signature):
        look(text)  # of a listing: whatever is there, it is something or nothing
        look(f"{text}/")
    keys.signer_in(text, "a" * 64)
    found = keys.run_of(text)
    if found is not None:
        _stays_inside(keys.run_prefix(found[0], found[1]).rstrip("/"))
    return "+".join(read_as) or "nothing"


def _holds(reader: Callable[[str], None], text: str) -> bool:
    try:
        reader(text)
    except (InvalidName, InvalidReference) as error:
        _is_short(str(error))
        return False
    return True


def _is_short(said: str) -> None:
    assert len(said) < 1000, "an error repeats a text that is too long to be shown"


def _reference(text: str) -> None:
    ref = RunRef.parse(text)
    assert RunRef.parse(str(ref)) == ref
    assert str(RunRef.parse(str(ref))) == str(ref)
    if "/" not in text or not set(text.partition("/")[2]) & set(";"):  # escapes that need not be are read as well
        assert str(ref) in {text, f"{text}@latest"}
    _key(str(ref.key))
    if ref.alias is not None:
        _stays_inside(keys.pointer(ref.key, ref.alias))
        _stays_inside(keys.history_block(ref.key, ref.alias, 32))
    if ref.run_id is not None:
        _stays_inside(keys.manifest(ref.key, ref.run_id))
        _stays_inside(keys.signature(ref.key, ref.run_id, "a" * 64, "b" * 64))


def _key(text: str) -> None:
    key = ModelKey.parse(text)
    assert str(key) == text or ";" in text
    assert ModelKey.parse((key.model_type, key.symbol)) == key
    assert ModelKey.parse(str(key)) == key
    _stays_inside(keys.model_prefix(key).rstrip("/"))


def _run_id(text: str) -> None:
    run_id = RunId(text)
    assert str(run_id) == text
    assert keys.run_in(f"{text}/") == run_id
    _stays_inside(keys.manifest(ModelKey("gru", "BTCEUR"), run_id))


def _symbol(text: str) -> None:
    assert check_symbol(text) == text
    name = spelled(text)
    assert keys.symbol_in(f"{name}/") == text
    assert keys.run_in(f"{name}/") is None
    assert untyped(typed(text)) == text
    _stays_inside(name)


def _path(text: str) -> None:
    assert keys.check_path(text) == text
    stored = stored_name(text)
    assert stored.isascii()
    assert keys.is_name_of(stored, text)
    assert keys.is_name_of(keys.attempt_name(text, "0123abcd"), text)
    key = keys.data_file(ModelKey("gru"), RunId("20240816_142301"), stored)
    _stays_inside(key)
    assert "/".join(parts_of_key(key)) == key
    assert parts_of_prefix(f"{key}/") == parts_of_key(key)


def _name(check: Callable[[object], str]) -> Callable[[str], None]:
    def one(text: str) -> None:
        assert check(text) == text
        _stays_inside(text)

    return one


def _local(text: str) -> None:
    """The last door, behind which there is the operating system: a key that came from anywhere."""
    parts = parts_of_key(text)
    assert "/".join(parts) == text
    for join, sep in ((posixpath, "/"), (ntpath, "\\")):
        whole = join.normpath(join.join(f"{sep}root", *parts))
        assert whole.startswith(f"{sep}root{sep}"), whole
        assert join.splitdrive(whole)[0] == ""


READERS: dict[str, Callable[[str], None]] = {
    "reference": _reference,
    "key": _key,
    "run id": _run_id,
    "symbol": _symbol,
    "path": _path,
    "model type": _name(check_model_type),
    "alias": _name(check_alias),
    "component": _name(check_component),
    "local": _local,
}
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {f"{kind}{n}" for kind in ("com", "lpt") for n in "0123456789¹²³"}  # fmt: skip


def _stays_inside(key: str) -> None:
    """Assert that a key is one file below any root, under the same name, on every platform."""
    assert key.isascii(), key
    assert key.isprintable(), key
    assert len(key) <= keys.MAX_KEY
    assert not set(key) & set("\\:*?\"<>|%#~$&'`!(){}[]^"), key
    for part in key.split("/"):
        assert part not in {"", ".", ".."}, key
        assert part == part.strip(" "), key
        assert not part.endswith("."), key
        assert part.partition(".")[0].rstrip(" ").casefold() not in _DEVICES, key
    for join, sep in ((posixpath, "/"), (ntpath, "\\")):
        whole = join.normpath(join.join(f"{sep}root", key))
        assert whole == f"{sep}root{sep}" + key.replace("/", sep), whole


def mutate(data: bytes, chance: Random) -> bytes:
    return change_text(data, chance, WORDS)


TARGET = Target("references", read, corpus, mutate, typed=())
