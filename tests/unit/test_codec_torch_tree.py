"""What training scripts save comes back as it was: state dicts, checkpoints, states of optimizers and schedulers."""

from __future__ import annotations

import copy
import json
import math
import struct
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

from artifact_store import ArtifactStore
from artifact_store.codecs.documents import DocumentCodec
from artifact_store.codecs.torch.nested import TorchTreeCodec
from artifact_store.codecs.trees import MAX_DEPTH
from artifact_store.core.registry import CodecRegistry
from artifact_store.errors import ArtifactStoreError, Corrupt, InvalidOption, NoCodec, NotEncodable
from tests.cases import each

CODEC = TorchTreeCodec()
Made = Callable[..., Any]


def there_and_back(obj: Any, directory: Path) -> Any:
    return CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"))


def stored_by(obj: Any, directory: Path) -> tuple[str, Any]:
    run = ArtifactStore(directory / "store").save(obj, "net/X")
    return run.manifest.components["model"].codec.name, run.load()


def same(one: Any, other: Any) -> bool:
    """Compare trees: classes, order, and every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        form = [(part.dtype, part.shape, part.requires_grad) for part in (one, other)]
        return form[0] == form[1] and bits(one) == bits(other)
    if isinstance(one, dict):
        versions = getattr(one, "_metadata", None) == getattr(other, "_metadata", None)
        return versions and same([*one], [*other]) and same([*one.values()], [*other.values()])
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)  # NaN is not equal to itself, and -0.0 to 0.0


def bits(tensor: Any) -> bytes:
    return bytes(tensor.detach().resolve_conj().contiguous().reshape(-1).view(torch.uint8).tolist())


def trained(kind: Made, **options: Any) -> tuple[Any, Any]:
    net = nn.Linear(3, 3, bias=False)
    optimizer = kind(net.parameters(), **options)

    def step() -> Any:
        optimizer.zero_grad()
        loss = net(torch.ones(2, 3)).square().sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(step)
    return net, optimizer


OPTIMIZERS: Mapping[str, tuple[Made, dict[str, Any]]] = {
    "Adam": (torch.optim.Adam, {"amsgrad": True}),
    "AdamW": (torch.optim.AdamW, {}),
    "SGD": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD without momentum": (torch.optim.SGD, {"lr": 0.1}),
    "LBFGS": (torch.optim.LBFGS, {}),
    "Rprop": (torch.optim.Rprop, {}),
    "Adafactor": (torch.optim.Adafactor, {}),
    "NAdam": (torch.optim.NAdam, {}),
    "RMSprop": (torch.optim.RMSprop, {"centered": True}),
    "Adagrad": (torch.optim.Adagrad, {}),
}
SCHEDULERS: Mapping[str, Made] = {
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 2),
    "MultiStepLR": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 3, 3]),
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10),
    "ReduceLROnPlateau": lr_scheduler.ReduceLROnPlateau,
    "CosineAnnealingWarmRestarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2),
    "LambdaLR": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch),
    "SequentialLR": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.MultiStepLR(optimizer, [1]), lr_scheduler.StepLR(optimizer, 2)], [3]
    ),
    "SWALR": lambda optimizer: swa_utils.SWALR(optimizer, 0.05),
}


class TestWhatTrainingScriptsSave:
    def test_each_is_stored_by_the_ordinary_save(self, tmp_path: Path) -> None:
        net, optimizer = trained(torch.optim.Adam)
        cases = {
            "a state dict": net.state_dict(),
            "a plain dict": dict(net.state_dict()),
            "a checkpoint": {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5},
            "a tensor": torch.ones(3),
            "a parameter": net.weight,
            "a list": [torch.ones(1), {"a": (torch.zeros(2), None)}],
            "a tuple": (torch.ones(1), 7),
            "parameters by name": dict(net.named_parameters()),
            "a tensor far inside": {"a": [{"b": ({"c": torch.ones(1)},)}]},
        }
        for case in each(cases):
            with case as name:
                codec, back = stored_by(cases[name], tmp_path / name)
                assert codec == "torch-tree"
                assert same(back, cases[name])

    def test_what_holds_no_tensor_stays_json(self, tmp_path: Path) -> None:
        net = nn.Linear(1, 1)
        cases: dict[str, Any] = {
            "a dict": {"weights": [1.5], "state": {}},
            "an optimizer that JSON holds": torch.optim.SGD(net.parameters(), lr=0.1).state_dict(),
            "a scheduler that JSON holds": lr_scheduler.StepLR(torch.optim.SGD(net.parameters()), 2).state_dict(),
            "a list": [1, [2]],
        }
        for case in each(cases):
            with case as name:
                codec, back = stored_by(cases[name], tmp_path / name)
                assert codec == "json"
                assert back == cases[name]

    @pytest.mark.parametrize("value", [{"a": (1, 2)}, {1: 2}, {"a": math.nan}, OrderedDict(a=1)], ids=repr)
    def test_and_what_json_refused_without_one_is_refused(self, value: Any, tmp_path: Path) -> None:
        with pytest.raises(ArtifactStoreError, match=r"JSON|json"):
            stored_by(value, tmp_path)

    def test_a_list_that_contains_itself_is_refused(self, tmp_path: Path) -> None:
        endless: list[Any] = [torch.ones(1)]
        endless.append(endless)
        with pytest.raises(NotEncodable, match="contains itself"):
            CODEC.encode(endless, tmp_path, "model")
        assert not DocumentCodec().accepts(endless)

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_an_optimizer_goes_on_as_if_nothing_had_happened(self, name: str, tmp_path: Path) -> None:
        kind, options = OPTIMIZERS[name]
        net, optimizer = trained(kind, **options)
        state = copy.deepcopy(optimizer.state_dict())
        back = there_and_back(state, tmp_path)
        assert same(back, state)
        twin = copy.deepcopy(net)
        other = kind(twin.parameters(), **options)
        other.load_state_dict(back)
        for module, used in ((net, optimizer), (twin, other)):

            def loss(module: Any = module, used: Any = used) -> Any:
                used.zero_grad()
                found = module(torch.ones(2, 3)).square().sum()
                found.backward()
                return found

            used.step(loss)
        assert same(net.state_dict(), twin.state_dict())

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_an_optimizer_before_its_first_step_is_stored(self, name: str, tmp_path: Path) -> None:
        kind, options = OPTIMIZERS[name]
        state = kind(nn.Linear(2, 2).parameters(), **options).state_dict()
        assert same(stored_by({"optimizer": state, "w": torch.ones(1)}, tmp_path)[1]["optimizer"], state)
        alone = stored_by(state, tmp_path / "alone")[1]
        assert same(alone, state) or alone == state  # JSON, which sorts the keys

    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_a_scheduler_goes_on(self, name: str, tmp_path: Path) -> None:
        optimizers = [torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9) for _ in range(2)]
        one, other = (SCHEDULERS[name](optimizer) for optimizer in optimizers)
        state = one.state_dict()
        assert same(there_and_back(state, tmp_path), state)
        back = stored_by(state, tmp_path)[1]
        assert back == state
        other.load_state_dict(back)
        assert other.state_dict() == state


class TestTrees:
    def test_values_keep_their_classes(self, tmp_path: Path) -> None:
        tree: dict[Any, Any] = {
            "values": [None, True, False, 0, -(2**80), 1.0, 1e16, -0.0, 5e-324, "ü\0\u2028", ""],
            "odd": [math.nan, -math.inf, math.inf, math.copysign(math.nan, -1)],
            1: {"1": "text", 1: "number", -1: None, "": ()},
            "nested": ([], {}, OrderedDict(), Counter(), ((),), [[()]]),
            "ordered": OrderedDict([("z", 1), ("a", [OrderedDict(b=1)])]),
            "counted": Counter({3: 2, 1: 0}),
            "numpy": [np.float64(0.1), np.float32("nan"), np.int8(-3), np.bool_(True)],
            "tensor": torch.ones(2),
        }
        back = there_and_back(tree, tmp_path)
        assert same(back, tree)
        assert [type(value) for value in back["numpy"]] == [type(value) for value in tree["numpy"]]
        assert math.copysign(1, back["odd"][3]) == -1

    def test_tensors_keep_form_bits_and_gradients(self, tmp_path: Path) -> None:
        odd = torch.tensor([math.nan, -0.0, math.inf, 1e-40])
        tree = [
            odd,
            odd.to(torch.bfloat16),
            odd.to(torch.cfloat).conj(),
            torch.zeros(0, 4),
            torch.tensor(7),
            torch.arange(6).reshape(2, 3).t(),
            torch.tensor([True, False]),
            torch.ones(1, requires_grad=True),
            nn.Parameter(torch.ones(2)),
            nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False),
        ]
        assert same(there_and_back(tree, tmp_path), tree)

    def test_a_result_with_a_graph_comes_back_as_torch_itself_gives_it(self, tmp_path: Path) -> None:
        loss = torch.ones(2, requires_grad=True).sum()
        back = there_and_back({"loss": loss}, tmp_path)["loss"]
        assert (back.item(), back.requires_grad, back.is_leaf) == (2, True, True)

    def test_ties_are_restored(self, tmp_path: Path) -> None:
        weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        tree = {"model": {"w": weight, "row": weight.detach()[1]}, "same": [weight], "turned": weight.detach().t()}
        back = there_and_back(tree, tmp_path)
        assert same(back, tree)
        assert back["same"][0] is back["model"]["w"]
        back["model"]["w"].data[1, 0] = 99
        assert back["model"]["row"][0] == back["turned"][0, 1] == 99

    def test_memory_that_is_shared_in_part_is_refused(self, tmp_path: Path) -> None:
        flat = torch.arange(10.0)
        with pytest.raises(NotEncodable, match=r"'a/0' and 'b'.*clone"):
            CODEC.encode({"a": [flat[:6]], "b": flat[4:]}, tmp_path, "model")
        there_and_back({"a": [flat[:6].clone()], "b": flat[4:]}, tmp_path)

    def test_the_versions_of_modules_are_kept(self, tmp_path: Path) -> None:
        net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
        back = there_and_back({"model": net.state_dict()}, tmp_path)["model"]
        assert type(back) is OrderedDict
        assert back._metadata == net.state_dict()._metadata  # type: ignore[attr-defined]
        nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).load_state_dict(back)

    def test_names_of_tensors_never_collide(self, tmp_path: Path) -> None:
        names = ("a/b", "a/b#2", "__metadata__", "", "tensor", "1", "ü\n")
        tree: dict[Any, Any] = {name: torch.full((1,), float(place)) for place, name in enumerate(names)}
        tree |= {"a": {"b": torch.ones(2)}, 1: torch.ones(3)}
        assert same(there_and_back(tree, tmp_path), tree)

    def test_the_deepest_tree_is_read_back(self, tmp_path: Path) -> None:
        def nested(levels: int, leaf: Any) -> Any:
            for _ in range(levels):
                leaf = {"a": leaf}
            return leaf

        state: Any = OrderedDict(w=torch.ones(1))
        state._metadata = OrderedDict({"": {"a": {"b": [1]}}})
        for case in each([state, [torch.ones(1), np.float32(1), math.nan], (torch.ones(1),)]):
            with case as leaf:
                tree = nested(MAX_DEPTH - 1, leaf)
                assert same(there_and_back(tree, tmp_path), tree)
                with pytest.raises(NotEncodable, match=r"\['a'\]\['a'\].*nested deeper"):
                    CODEC.encode(nested(MAX_DEPTH, leaf), tmp_path, "model")

    def test_it_fills_nothing(self, tmp_path: Path) -> None:
        net = nn.Linear(1, 1)
        options = CODEC.encode(net.state_dict(), tmp_path, "model")
        with pytest.raises(InvalidOption, match="load_state_dict"):
            CODEC.decode(tmp_path, "model", options, into=net)


class Own(torch.Tensor):
    pass


class OwnDict(dict[Any, Any]):
    pass


Point = namedtuple("Point", "x y")  # noqa: PYI024 -- what may be in a checkpoint
ATTRIBUTE = OrderedDict(a=1)
ATTRIBUTE.note = "mine"  # type: ignore[attr-defined]
LOSSES: Mapping[str, tuple[Any, str]] = {
    "a set": ({1}, "keep its list"),
    "bytes": (b"x", r"keep its \.hex"),
    "an array": (np.ones(2), "torch.from_numpy"),
    "an array of no sides": (np.array(1.0), "torch.from_numpy"),
    "a size": (torch.ones(2).shape, "tuple"),
    "a dtype": (torch.float32, "str"),
    "a device": (torch.device("cpu"), "str"),
    "a function": (len, r"\.__name__"),
    "a module": (nn.Linear(1, 1), r"\.state_dict\(\)"),
    "a complex number": (1j, r"keep \[z\.real, z\.imag\]"),
    "a namedtuple": (Point(1, 2), "plain tuple"),
    "a dict of one's own": (OwnDict(a=1), "plain dict"),
    "a defaultdict": (defaultdict(list), "plain dict"),
    "text of numpy": (np.str_("a"), "plain str"),
    "a date of numpy": (np.datetime64("2020"), r"keep its \.item"),
    "a huge integer": (1 << 10_000, "hex"),
    "half a character": ("\ud800", "ord"),
    "half a character as a key": ({"\ud800": 1}, "ord"),
    "a key that is a tuple": ({(1, 2): 1}, "use text or an integer"),
    "a key that is true": ({True: 1}, "use text or an integer"),
    "a key beyond 64 bits": ({1 << 64: 1}, "beyond 64 bits: use text"),
    "an attribute": (ATTRIBUTE, "delete it"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_cannot_be_kept_is_refused_with_its_path_and_a_way_out(name: str, tmp_path: Path) -> None:
    value, way_out = LOSSES[name]
    with pytest.raises(NotEncodable, match=rf"(?s)\['deep'\]\[1\].*{way_out}"):
        CODEC.encode({"w": torch.ones(1), "deep": [0, value]}, tmp_path, "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2).as_subclass(Own),
        torch.eye(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.ones(2, dtype=torch.cdouble),
    ],
    ids=["subclass", "sparse", "meta", "complex128"],
)
def test_a_tensor_that_cannot_be_kept_is_refused_with_its_path(tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="'deep/1'"):
        CODEC.encode({"w": torch.ones(1), "deep": [0, tensor]}, tmp_path, "model")


# ---------------------------------------------------------------- trees that lie

LIES: Mapping[str, Any] = {
    "nothing": None,
    "no tensor": [1, 2],
    "a tensor that is not there": [{"tensor": "a"}, {"tensor": "b"}],
    "a name that is a number": {"tensor": 7},
    "a word more": {"tensor": "a", "more": 1},
    "an unknown word": {"set": []},
    "an empty object": {},
    "half a pair": {"dict": ["a"]},
    "a key twice": {"dict": ["a", 1, "a", {"tensor": "a"}]},
    "a key that is true": {"dict": [True, {"tensor": "a"}]},
    "a key that is a float": {"dict": [1.5, {"tensor": "a"}]},
    "a key whose hash can be chosen": {"dict": [1 << 64, {"tensor": "a"}]},
    "a dict that is none": {"dict": {"a": 1}},
    "versions of a plain dict": {"dict": ["a", {"tensor": "a"}], "versions": []},
    "versions that are none": {"ordered": ["a", {"tensor": "a"}], "versions": 7},
    "a tuple that is none": {"tuple": 7},
    "a float that is none": [{"tensor": "a"}, {"float": "many"}],
    "a number that is an array": [{"tensor": "a"}, {"number": {"dtype": "int8", "shape": [2], "values": [1, 2]}}],
    "a gradient that is a number": {"tensor": "a", "requires_grad": 1},
    "a gradient of integers": {"tensor": "a", "requires_grad": True},
    "a tensor and a parameter in one": [{"tensor": "a"}, {"parameter": "a"}],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_tree_that_lies_is_corrupt(lie: str, tmp_path: Path) -> None:
    CODEC.encode([torch.arange(2)], tmp_path, "model")
    path = tmp_path / "model.json"
    settings = json.loads(path.read_bytes())
    assert settings["tree"] == [{"tensor": "0"}]
    text = json.dumps(settings["tensors"]).replace('"0"', '"a"')
    path.write_text(json.dumps({"tensors": json.loads(text), "tree": LIES[lie]}))
    stored = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(stored.replace(b'"0"', b'"a"'))
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "model", {})


# ---------------------------------------------------------------- the page of the format, read without torch


def stored_arrays(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__")
    dtypes = {"F32": "<f4", "I64": "<i8", "BOOL": "?"}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], dtypes[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }


def view_into(base: Any, alias: Mapping[str, Any]) -> Any:
    if "shape" not in alias:
        return base
    flat = base.reshape(-1)[alias["offset"] :]
    return np.lib.stride_tricks.as_strided(flat, alias["shape"], [step * base.itemsize for step in alias["stride"]])


def value_of(node: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [value_of(part, arrays) for part in node]
    if not isinstance(node, dict):
        return node
    kind = next(word for word in node if word not in {"versions", "requires_grad"})
    inner = node[kind]
    if kind in {"dict", "ordered", "counter"}:
        return dict(zip(inner[::2], (value_of(part, arrays) for part in inner[1::2]), strict=True))
    if kind in {"tensor", "parameter"}:
        return arrays[inner]
    if kind == "tuple":
        return tuple(value_of(part, arrays) for part in inner)
    return float(inner) if kind == "float" else inner["values"][0]


def read_as_the_page_says(folder: Path, stem: str) -> Any:
    """Read a tree with numpy and the standard library alone, by ``artifact_store/FORMAT.md``."""
    document = json.loads((folder / f"{stem}.json").read_bytes())
    arrays = stored_arrays(folder / f"{stem}.safetensors")
    for name, alias in document["tensors"]["aliases"].items():
        arrays[name] = view_into(arrays[alias["of"]], alias)
    assert {*arrays} == {*document["tensors"]["names"]}
    return value_of(document["tree"], arrays)


def test_the_page_of_the_format_is_enough_to_read_a_checkpoint(tmp_path: Path) -> None:
    net, optimizer = trained(torch.optim.Adam)
    weight = net.weight.detach()
    tree = {
        "model": net.state_dict(),
        "row": weight[1],
        "optimizer": optimizer.state_dict(),
        "best": math.inf,
        "numpy": np.float32(0.5),
        "flags": (torch.tensor([True]), None, 3),
    }
    CODEC.encode(tree, tmp_path, "model")

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: plain(inner) for key, inner in part.items()}
        if isinstance(part, torch.Tensor):
            return part.tolist()
        return type(part)(map(plain, part)) if isinstance(part, list | tuple) else part

    def listed(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: listed(inner) for key, inner in part.items()}
        if isinstance(part, np.ndarray):
            return part.tolist()
        return type(part)(map(listed, part)) if isinstance(part, list | tuple) else part

    found = listed(read_as_the_page_says(tmp_path, "model"))
    assert repr(found) == repr(plain({**tree, "numpy": 0.5}))


def test_what_has_a_state_is_told_to_be_kept_as_that(tmp_path: Path) -> None:
    module = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(module.parameters())
    schedule = lr_scheduler.StepLR(optimizer, 1)
    with pytest.raises(NotEncodable, match=r"the document\['model'\] .*: keep its \.state_dict\(\)$"):
        DocumentCodec().encode({"model": module, "epoch": 3}, tmp_path, "model")
    for part in (optimizer, schedule):
        with pytest.raises(NoCodec, match=r": keep its \.state_dict\(\), or"):
            CodecRegistry().for_object(part)
    states = {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    assert CodecRegistry().for_object(states).name == "torch-tree"
