"""Files that want to run code, or that lie about themselves, under the names of an old tree.

Each case makes its bytes for a marker: a path at which a file appears if anything of the case ever runs. Nothing else
is touched. ``live`` says which library would make the marker by its ordinary way of loading, so a test can show that
the corpus is not blunt. The others are strange and harmless: they name functions that do nothing, are a little too
deep, or a little larger than the ``limits`` that they are read under. None of them is a danger to other software.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import os
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_store.legacy.pickle_reader.limits import LIMITS, Limits
from tests.legacy_cases import CASES, LegacyCase

MODEL_TYPES = {
    "model.pkl": "lightgbm",
    "preprocessor.pkl": "gru",
    "model.pth": "gru",
    "model.zip": "ppo",
    "model_vecnormalize.pkl": "ppo",
}
"""By the name that a case pretends to have: the family whose old runs have such a file."""


@dataclass(frozen=True)
class Hostile:
    """One file. ``refused`` is false where the harmful part is skipped and the rest is sound."""

    name: str
    file: str
    make: Callable[[Path], bytes]
    live: str | None = None
    """``pickle``, ``joblib``, ``torch`` or ``sb3``: loading with that library runs the payload."""
    refused: bool = True
    limits: Limits = LIMITS
    """What it is read under: a small file is too large where little is allowed."""

    @property
    def model_type(self) -> str:
        return MODEL_TYPES[self.file]


class Canary:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.command = command(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def command(marker: Path) -> str:
    """A command that makes the marker, in sh and in cmd alike."""
    return f'echo hostile> "{marker}"'


# ---------------------------------------------------------------- opcodes


def text(value: str) -> bytes:
    data = value.encode("utf-8")
    return b"X" + struct.pack("<I", len(data)) + data


def body(value: Any) -> bytes:
    """The opcodes that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def whole(*parts: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + b"".join(parts) + b"."


def system() -> tuple[str, str]:
    return os.system.__module__, "system"


HARMLESS = ("string", "capwords")
"""A function of the standard library that does nothing, and that no old model names."""


def booster(model: str) -> bytes:
    return whole(name("lightgbm.basic", "Booster"), b")\x81", body({"_handle": model, "best_iteration": 1}), b"b")


# ---------------------------------------------------------------- pickles


def dumped(protocol: int) -> Callable[[Path], bytes]:
    return lambda marker: pickle.dumps({"scaler": Canary(marker), "imputer": None}, protocol)


def by_joblib(wrap: Callable[[Path], Any], compress: Any = 0) -> Callable[[Path], bytes]:
    def make(marker: Path) -> bytes:
        import joblib

        file = io.BytesIO()
        joblib.dump(wrap(marker), file, compress=compress)
        return file.getvalue()

    return make


def behind_an_array(marker: Path) -> Any:
    import numpy as np

    return {"feature_names": np.arange(5.0), "scaler": Canary(marker)}


def in_an_object_array(marker: Path) -> Any:
    import numpy as np

    return {"scaler": None, "imputer": np.array([None, Canary(marker)], dtype=object)}


def from_the_memo(_: Path) -> bytes:
    """The name is put together from the memo, far from where it is used."""
    module, attribute = HARMLESS
    return whole(
        *(text(attribute), b"\x94", b"0", text("between"), b"\x94", b"0", text(module), b"\x94", b"0"),
        *(b"h\x02", b"h\x00", b"\x93", text("a text"), b"\x85R"),
    )


def in_the_state(marker: Path) -> bytes:
    module, attribute = system()
    return whole(
        *(name("sklearn.preprocessing._data", "StandardScaler"), b")\x81}", text("mean_")),
        *(name(module, attribute), text(command(marker)), b"\x85Rsb"),
    )


def reconstructed(_: Path) -> bytes:
    """``_reconstruct`` of numpy with a class that is no array."""
    kind = name("sklearn.preprocessing._data", "StandardScaler")
    return whole(name("numpy._core.multiarray", "_reconstruct"), kind, body((0,)), body(b"b"), b"\x87R", b"Nb")


def shared_lists(_: Path) -> bytes:
    """A list that holds another one ten times, four times over: small here, and 10,000 elements in full."""
    levels = [b"]\x94(" + bytes([ord("h"), level]) * 10 + b"e0" for level in range(4)]
    return whole(b"]\x940", *levels, b"h\x04")


def in_itself(_: Path) -> bytes:
    return whole(b"]\x94h\x00a")


def nested(_: Path) -> bytes:
    return whole(b"]" * (LIMITS.depth + 20), b"a" * (LIMITS.depth + 19))


def nested_marks(_: Path) -> bytes:
    """Opened and closed again around nothing, so that nothing nested comes out."""
    return whole(b"(" * (LIMITS.depth + 20), b"1" * (LIMITS.depth + 20), b"N")


def numbers_as_keys(_: Path) -> bytes:
    """Hashes of numbers can be chosen; so many of them as keys are refused, these ordinary ones as well."""
    return whole(b"}(", *(body(number) + b"N" for number in range(LIMITS.numeric_keys + 1)), b"u")


SMALL = Limits(size=1 << 20)


def zeros(kind: str) -> Callable[[Path], bytes]:
    """Two megabytes of nothing."""

    def make(_: Path) -> bytes:
        return {"xz": lzma.compress, "gzip": gzip.compress, "zlib": zlib.compress}[kind](bytes(2 << 20))

    return make


def beyond(opcode: bytes, form: str, length: int) -> Callable[[Path], bytes]:
    return lambda _: whole(opcode, struct.pack(form, length), b"few bytes")


def large_array(_: Path) -> bytes:
    dtype = (
        name("numpy", "dtype") + body(("f8", False, True)) + b"R" + body((3, "<", None, None, None, -1, -1, 0)) + b"b"
    )
    blank = (
        name("numpy._core.multiarray", "_reconstruct") + name("numpy", "ndarray") + body((0,)) + body(b"b") + b"\x87R"
    )
    return whole(blank, b"(", body(1), body((1 << 10,)), dtype, b"\x89", body(b"few"), b"tb")


def large_array_in_joblib(_: Path) -> bytes:
    dtype = (
        name("numpy", "dtype") + body(("f8", False, True)) + b"R" + body((3, "<", None, None, None, -1, -1, 0)) + b"b"
    )
    fields = [text("subclass"), name("numpy", "ndarray"), text("shape"), body((1 << 10,)), text("order"), text("C")]
    fields += [text("dtype"), dtype, text("allow_mmap"), b"\x89"]
    return whole(name("joblib.numpy_pickle", "NumpyArrayWrapper"), b")\x81}(", *fields, b"ub")


def unreadable(model: str) -> str:
    """Return a text of LightGBM with an objective that its parser refuses, with an error, before it reads a tree.

    The trees may say anything then: our own check, which reads all of them, comes before the parser.
    """
    assert re.search(r"^objective=", model, re.MULTILINE)
    return re.sub(r"^objective=.*$", "objective=of_a_test", model, count=1, flags=re.MULTILINE)


def damaged_trees(*changes: tuple[str, Callable[[list[str]], list[str]]]) -> Callable[[Path], bytes]:
    """A booster whose first tree says something else in these lines."""

    def make(_: Path) -> bytes:
        from artifact_store.legacy.formats.lightgbm import read_lightgbm

        lines = read_lightgbm(CASES["lgbm_frame_selected"].file.read_bytes(), what="a sound model").text.split("\n")
        for line, change in changes:
            place = next(place for place, found in enumerate(lines) if found.startswith(f"{line}="))
            lines[place] = f"{line}=" + " ".join(change(lines[place].partition("=")[2].split()))
        return booster(unreadable("\n".join(lines)))

    return make


# ---------------------------------------------------------------- torch


def saved(wrap: Callable[[Path], Any], **options: Any) -> Callable[[Path], bytes]:
    def make(marker: Path) -> bytes:
        import torch

        file = io.BytesIO()
        torch.save(wrap(marker), file, **options)
        return file.getvalue()

    return make


def checkpoint(marker: Path) -> Any:
    import torch

    return {"model_state_dict": {"fc2.bias": torch.ones(1)}, "model_config": {"input_size": Canary(marker)}}


def module(_: Path) -> Any:
    import torch

    return torch.nn.Linear(2, 3)


def bare_canary(marker: Path) -> Any:
    return Canary(marker)


def changed(data: bytes, change: Callable[[str, bytes], bytes | None], **added: bytes) -> bytes:
    """A zip with other contents; those for which there is ``None`` are left out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            content = change(info.filename, source.read(info))
            if content is not None:
                target.writestr(info.filename, content)
        for entry, content in added.items():
            target.writestr(entry, content)
    return file.getvalue()


def gru() -> bytes:
    return CASES["gru_full_selected"].file.read_bytes()


def ppo() -> bytes:
    return CASES["ppo_vecnorm_box"].file.read_bytes()


def short_storage(_: Path) -> bytes:
    """Tensors that reach beyond the bytes that are there."""
    return changed(gru(), lambda entry, content: content[:4] if "/data/" in entry else content)


def stretched(_: Path) -> bytes:
    """A tensor of eight elements in one float: of trillions it would take terabytes to copy it."""
    import torch

    tensor = torch.ones(1).expand(8)
    file = io.BytesIO()
    torch.save({"model_state_dict": {"fc2.bias": tensor}}, file)
    return file.getvalue()


# ---------------------------------------------------------------- stable-baselines3


def serialized(marker: Path) -> bytes:
    """A key that nobody asked for, with a pickle as its value."""
    entry = {":type:": "<class 'dict'>", ":serialized:": base64.b64encode(pickle.dumps(Canary(marker))).decode()}

    def change(entry_name: str, content: bytes) -> bytes:
        return json.dumps(json.loads(content) | {"harmless": entry}).encode() if entry_name == "data" else content

    return changed(ppo(), change)


def serialized_space(marker: Path) -> bytes:
    """The pickle of a space replaced; the words beside it are sound."""

    def change(entry_name: str, content: bytes) -> bytes:
        if entry_name != "data":
            return content
        data = json.loads(content)
        data["observation_space"][":serialized:"] = base64.b64encode(pickle.dumps(Canary(marker))).decode()
        return json.dumps(data).encode()

    return changed(ppo(), change)


def wide() -> dict[str, str]:
    """The pickle of a space that is wider than the network."""
    from gymnasium import spaces

    return {":serialized:": base64.b64encode(pickle.dumps(spaces.Box(-1, 1, (4096,)))).decode()}


def own_policy(marker: Path) -> bytes:
    def change(entry_name: str, content: bytes) -> bytes:
        if entry_name != "data":
            return content
        data = json.loads(content)
        data["policy_class"]["__module__"] = "somebody.policies"
        data["policy_class"][":serialized:"] = base64.b64encode(pickle.dumps(Canary(marker))).decode()
        return json.dumps(data).encode()

    return changed(ppo(), change)


def with_data(
    change: Callable[[dict[str, Any]], object], case: LegacyCase = CASES["ppo_vecnorm_box"]
) -> Callable[[Path], bytes]:
    """A zip of stable-baselines3 that describes something else."""

    def make(_: Path) -> bytes:
        def changed_data(entry: str, content: bytes) -> bytes:
            if entry != "data":
                return content
            data = json.loads(content)
            change(data)
            return json.dumps(data).encode()

        return changed(case.file.read_bytes(), changed_data)

    return make


def in_entry(entry: str, **options: Any) -> Callable[[Path], bytes]:
    """A zip of stable-baselines3 with a hostile checkpoint in it."""

    def make(marker: Path) -> bytes:
        hostile = saved(bare_canary, **options)(marker)
        return changed(ppo(), lambda found, content: hostile if found == entry else content)

    return make


# ---------------------------------------------------------------- zips


def expanding(entry: str, source: Callable[[], bytes]) -> Callable[[Path], bytes]:
    """An archive with two megabytes of nothing in one more entry."""

    def make(_: Path) -> bytes:
        file = io.BytesIO(source())
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(entry, bytes(2 << 20))
        return file.getvalue()

    return make


def zip_with(entry: str, source: Callable[[], bytes]) -> Callable[[Path], bytes]:
    return lambda _: changed(source(), lambda _, content: content, **{entry: b"hostile"})


def zip_of_two_minds(_: Path) -> bytes:
    """Two entries of one name."""
    data = changed(ppo(), lambda _, content: content, **{"polocy.pth": b"a few words"})
    return data.replace(b"polocy.pth", b"policy.pth")


def encrypted(_: Path) -> bytes:
    data = bytearray(ppo())
    directory = int.from_bytes(data[-6:-2], "little")
    data[6] |= 1
    data[directory + 8] |= 1
    return bytes(data)


def behind_something(_: Path) -> bytes:
    """An archive behind other bytes."""
    return b"PK\x03\x04 and something else" + ppo()


def cut(source: Callable[[], bytes]) -> Callable[[Path], bytes]:
    return lambda _: source()[: len(source()) // 2]


def sound(case: str, file: str) -> Callable[[], bytes]:
    return lambda: CASES[case].beside(file).read_bytes()


CORPUS: tuple[Hostile, ...] = (
    *(Hostile(f"pickle-{protocol}", "preprocessor.pkl", dumped(protocol), "pickle") for protocol in (0, 1, 2, 3, 4, 5)),
    Hostile("bare-canary", "model.pkl", lambda marker: pickle.dumps(Canary(marker)), "pickle"),
    Hostile("vecnormalize-canary", "model_vecnormalize.pkl", lambda marker: pickle.dumps(Canary(marker)), "pickle"),
    Hostile("joblib-raw", "preprocessor.pkl", by_joblib(lambda marker: {"scaler": Canary(marker)}), "joblib"),
    Hostile("joblib-behind-an-array", "preprocessor.pkl", by_joblib(behind_an_array), "joblib"),
    Hostile("joblib-object-array", "preprocessor.pkl", by_joblib(in_an_object_array), "joblib"),
    *(
        Hostile(f"joblib-{kind}", "model.pkl", by_joblib(lambda marker: {"model": Canary(marker)}, (kind, 3)), "joblib")
        for kind in ("zlib", "gzip", "bz2", "xz", "lzma")
    ),
    Hostile("joblib-zlib-object-array", "model.pkl", by_joblib(in_an_object_array, 3), "joblib"),
    Hostile("name-from-the-memo", "model.pkl", from_the_memo),
    Hostile("in-the-state", "preprocessor.pkl", in_the_state, "pickle"),
    Hostile("reconstruct-no-array", "preprocessor.pkl", reconstructed),
    Hostile(
        "dotted-name",
        "model.pkl",
        lambda _: whole(text("collections"), text("OrderedDict.fromkeys"), b"\x93", b"]\x85R"),
    ),
    Hostile(
        "instance-opcode",
        "model.pkl",
        lambda _: whole(b"(", text("a text"), "i{}\n{}\n".format(*HARMLESS).encode(), protocol=1),
    ),
    Hostile(
        "object-opcode",
        "model.pkl",
        lambda _: whole(b"(", name(*HARMLESS), text("a text"), b"o", protocol=1),
    ),
    Hostile("eval", "model.pkl", lambda _: whole(name("builtins", "eval"), text("1 + 1"), b"\x85R")),
    Hostile(
        "getattr",
        "model.pkl",
        lambda m: whole(name("builtins", "getattr"), name("builtins", "list"), text("x"), b"\x86R"),
    ),
    Hostile("extension-code", "model.pkl", lambda _: whole(b"\x82\x01")),
    Hostile("persistent-id", "model.pkl", lambda _: whole(text("elsewhere"), b"Q")),
    Hostile("foreign-buffer", "model.pkl", lambda _: whole(b"\x97", protocol=5)),
    Hostile("shared-lists", "preprocessor.pkl", shared_lists, limits=Limits(expanded=1 << 16)),
    Hostile("list-in-itself", "preprocessor.pkl", in_itself),
    Hostile("deep-lists", "preprocessor.pkl", nested),
    Hostile("deep-marks", "preprocessor.pkl", nested_marks),
    Hostile("numbers-as-keys", "preprocessor.pkl", numbers_as_keys),
    *(Hostile(f"{kind}-expanding", "model.pkl", zeros(kind), limits=SMALL) for kind in ("zlib", "gzip", "xz")),
    Hostile("long-text", "model.pkl", beyond(b"\x8d", "<Q", 1 << 20)),
    Hostile("long-bytes", "model.pkl", beyond(b"\x8e", "<Q", 1 << 20)),
    Hostile("long-bytearray", "model.pkl", beyond(b"\x96", "<Q", 1 << 20)),
    Hostile("long-number", "model.pkl", beyond(b"\x8b", "<I", 1 << 20)),
    Hostile("long-frame", "model.pkl", beyond(b"\x95", "<Q", 1 << 20)),
    Hostile("unknown-memo", "model.pkl", lambda _: whole(b"N", b"r\x05\0\0\0", b"j\x04\0\0\0")),
    Hostile("large-array", "preprocessor.pkl", large_array),
    Hostile("large-array-in-joblib", "preprocessor.pkl", large_array_in_joblib),
    Hostile("cut-pickle", "preprocessor.pkl", cut(sound("gru_full_noselect", "preprocessor.pkl"))),
    Hostile("cut-zlib", "model.pkl", cut(sound("lgbm_classifier_binary", "model.pkl"))),
    Hostile("cut-vecnormalize", "model_vecnormalize.pkl", cut(sound("ppo_vecnorm_box", "model_vecnormalize.pkl"))),
    Hostile("tree-without-end", "model.pkl", damaged_trees(("left_child", lambda row: ["0", *row[1:]]))),
    Hostile("tree-beyond-its-nodes", "model.pkl", damaged_trees(("right_child", lambda row: ["99", *row[1:]]))),
    Hostile("tree-of-unknown-features", "model.pkl", damaged_trees(("split_feature", lambda row: ["99", *row[1:]]))),
    Hostile("tree-of-too-many-leaves", "model.pkl", damaged_trees(("num_leaves", lambda _: ["99"]))),
    Hostile("tree-of-unknown-categories", "model.pkl", damaged_trees(("decision_type", lambda row: ["1", *row[1:]]))),
    Hostile("text-that-is-none", "model.pkl", lambda _: booster("some other text\n" * 50)),
    Hostile("checkpoint-canary", "model.pth", saved(checkpoint), "torch"),
    Hostile("checkpoint-canary-protocol-4", "model.pth", saved(checkpoint, pickle_protocol=4), "torch"),
    Hostile("checkpoint-canary-old", "model.pth", saved(checkpoint, _use_new_zipfile_serialization=False), "torch"),
    Hostile("checkpoint-plain-pickle", "model.pth", lambda marker: pickle.dumps(Canary(marker), 2), "pickle"),
    Hostile("checkpoint-of-a-module", "model.pth", saved(module)),
    Hostile("checkpoint-short-storage", "model.pth", short_storage),
    Hostile("checkpoint-stretched", "model.pth", stretched),
    Hostile("checkpoint-expanding", "model.pth", expanding("model/data/99", gru), limits=SMALL),
    Hostile("checkpoint-cut", "model.pth", cut(gru)),
    Hostile("checkpoint-leads-outside", "model.pth", zip_with("model/../../outside", gru)),
    Hostile("zip-serialized", "model.zip", serialized, "sb3", refused=False),
    Hostile("zip-serialized-space", "model.zip", serialized_space, "sb3", refused=False),
    Hostile("zip-own-policy", "model.zip", own_policy, "sb3"),
    Hostile("zip-policy", "model.zip", in_entry("policy.pth"), None),
    Hostile("zip-policy-old", "model.zip", in_entry("policy.pth", _use_new_zipfile_serialization=False)),
    Hostile("zip-optimizer", "model.zip", in_entry("policy.optimizer.pth")),
    Hostile("zip-variables", "model.zip", in_entry("pytorch_variables.pth")),
    Hostile("zip-wide-network", "model.zip", with_data(lambda data: data["policy_kwargs"].update(net_arch=[4096]))),
    Hostile(
        "zip-wide-space",
        "model.zip",
        with_data(
            lambda data: data["observation_space"].update(
                {":serialized:": "", "_shape": [4096], "low": "[-inf ... -inf]", "high": "[inf ... inf]"}
            )
        ),
    ),
    Hostile("zip-wide-pickled-space", "model.zip", with_data(lambda data: data["observation_space"].update(wide()))),
    Hostile("zip-long-rollout", "model.zip", with_data(lambda data: data.update(n_steps=1 << 28, n_envs=1 << 28))),
    Hostile(
        "zip-nested-data", "model.zip", with_data(lambda data: data.update(deep=json.loads("[" * 900 + "]" * 900)))
    ),
    Hostile("zip-leads-outside", "model.zip", zip_with("../outside", ppo)),
    Hostile("zip-absolute", "model.zip", zip_with("/tmp/outside", ppo)),
    Hostile("zip-backslash", "model.zip", zip_with("..\\outside", ppo)),
    Hostile("zip-of-two-minds", "model.zip", zip_of_two_minds),
    Hostile("zip-behind-something", "model.zip", behind_something),
    Hostile("zip-encrypted", "model.zip", encrypted),
    Hostile("zip-expanding", "model.zip", expanding("nothing", ppo), limits=SMALL),
    Hostile("zip-cut", "model.zip", cut(ppo)),
)
