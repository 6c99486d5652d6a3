"""Tensors come back bit for bit, ties too, and a file that lies about its size costs nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from artifact_store import ArtifactStore, TorchState
from artifact_store.codecs.torch.state import TorchStateCodec
from artifact_store.codecs.torch.tensors import read_tensors
from artifact_store.errors import Corrupt, InvalidOption, NotEncodable

CODEC = TorchStateCodec()
DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    *(torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
]


class Net(nn.Module):
    """The network of the first trainers: a GRU and two layers."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.gru = nn.GRU(3, hidden, batch_first=True)
        self.fc1 = nn.Linear(hidden, 5)
        self.fc2 = nn.Linear(5, 1)

    def forward(self, windows: Any) -> Any:
        hidden, _ = self.gru(windows)
        return self.fc2(torch.relu(self.fc1(hidden[:, -1])))


def there_and_back(obj: Any, directory: Path, *, into: Any = None) -> Any:
    return CODEC.decode(directory, "model", CODEC.encode(obj, directory, "model"), into=into)


def raw(tensor: Any) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_keeps_every_bit(dtype: Any, tmp_path: Path) -> None:
    noise = torch.from_numpy(np.random.default_rng(1).integers(0, 256, 64, np.uint8))
    tensor = noise.view(dtype).reshape(2, -1) if dtype is not torch.bool else noise > 100
    back = there_and_back(TorchState({"w": tensor}), tmp_path).state["w"]
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert raw(back) == raw(tensor)


def test_any_other_dtype_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="view_as_real"):
        CODEC.encode(TorchState({"w": torch.zeros(1, dtype=torch.complex128)}), tmp_path, "model")
    with pytest.raises(NotEncodable, match="convert it"):
        CODEC.encode(
            TorchState({"w": torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}), tmp_path, "model"
        )


def test_a_quantised_tensor_and_a_nested_one_are_refused(tmp_path: Path) -> None:
    class Own(torch.Tensor):
        pass

    for tensor in (torch.ones(2).to_sparse(), torch.ones(2).as_subclass(Own)):
        with pytest.raises(NotEncodable):
            CODEC.encode(TorchState({"w": tensor}), tmp_path, "model")


def test_conjugated_and_negated_views_are_kept_by_value(tmp_path: Path) -> None:
    numbers = torch.tensor([1 + 2j, 3 - 4j])
    back = there_and_back(TorchState({"conj": numbers.conj(), "imag": numbers.clone().conj().imag}), tmp_path).state
    assert back["conj"].tolist() == [1 - 2j, 3 + 4j]
    assert back["imag"].tolist() == [-2, 4]


def test_ties_are_restored(tmp_path: Path) -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    state = {"bias": torch.ones(2), "part": weight[1:, 2:], "w": weight, "turned": weight.t(), "same": weight.detach()}
    back = there_and_back(TorchState(state), tmp_path).state
    assert list(back) == list(state)
    assert all(torch.equal(back[name], state[name]) for name in state)
    back["w"][1, 2] = 99
    assert back["same"][1, 2] == back["turned"][2, 1] == back["part"][0, 0] == 99
    assert weight[1, 2] == 6
    assert set(load_file(tmp_path / "model.safetensors")) == {"bias", "w"}


def test_slices_of_one_storage_that_do_not_overlap_are_no_ties(tmp_path: Path) -> None:
    flat = torch.arange(10.0)
    back = there_and_back(TorchState({"one": flat[:4], "two": flat[4:]}), tmp_path).state
    assert back["one"].tolist() == [0, 1, 2, 3]
    assert back["one"].untyped_storage().data_ptr() != back["two"].untyped_storage().data_ptr()


def test_memory_that_is_shared_in_part_is_refused_with_a_remedy(tmp_path: Path) -> None:
    flat = torch.arange(10.0)
    with pytest.raises(NotEncodable, match="'one' and 'two'.*clone"):
        CODEC.encode(TorchState({"one": flat[:6], "two": flat[4:]}), tmp_path, "model")


def test_a_network_predicts_the_same(tmp_path: Path) -> None:
    net, windows = Net().eval(), torch.randn(4, 6, 3)
    again = there_and_back(net, tmp_path, into=Net().eval())
    assert torch.equal(net(windows), again(windows))


def test_a_state_goes_through_a_store(tmp_path: Path) -> None:
    net = Net()
    store = ArtifactStore(tmp_path.as_uri())
    run = store.save(TorchState(net.state_dict(), {"hidden_size": 4}), "gru/BTCEUR")
    assert sorted(name for name in run.files if name.startswith("model")) == ["model.json", "model.safetensors"]
    back = run.load()
    assert back.config == {"hidden_size": 4}
    other = Net()
    assert run.load(into=other) is other
    assert torch.equal(other.fc1.weight, net.fc1.weight)
    assert store.save(net, "gru/BTCEUR").load().config == {}


def test_what_is_loaded_lives_on_when_the_file_is_emptied(tmp_path: Path) -> None:
    back = there_and_back(TorchState({"w": torch.arange(1 << 16)}), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")  # a mapped file would end the process below
    assert back.state["w"].sum() == (1 << 15) * ((1 << 16) - 1)


class TestFillingAModule:
    def test_a_module_that_does_not_fit_is_told_everything_and_left_alone(self, tmp_path: Path) -> None:
        saved, other = Net(), nn.Module()
        other.gru, other.fc1, other.head = nn.GRU(3, 4), nn.Linear(4, 6), nn.Linear(2, 2)
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(InvalidOption) as caught:
            there_and_back(saved, tmp_path, into=other)
        text = str(caught.value)
        assert "head.weight" in text.split("unexpected", maxsplit=1)[0]
        assert "fc2.weight" in text.split("unexpected")[1]
        assert "fc1.weight is float32[6, 4] here and float32[5, 4] as saved" in text
        assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())

    def test_another_dtype_would_lose_bits(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match=r"float16\[5, 4\] here and float32\[5, 4\] as saved"):
            there_and_back(Net(), tmp_path, into=Net().half())

    def test_a_module_without_memory_is_refused(self, tmp_path: Path) -> None:
        with torch.device("meta"):
            empty = Net()
        with pytest.raises(InvalidOption, match="meta"):
            there_and_back(Net(), tmp_path, into=empty)
        with pytest.raises(InvalidOption, match="not initialised"):
            there_and_back(nn.Linear(2, 2), tmp_path, into=nn.LazyLinear(2))

    def test_extra_state_is_no_tensor(self, tmp_path: Path) -> None:
        class Extra(nn.Linear):
            def get_extra_state(self) -> Any:
                return {"epoch": 3}

            def set_extra_state(self, state: Any) -> None:
                raise AssertionError("nothing was loaded")

        with pytest.raises(NotEncodable, match="_extra_state"):
            CODEC.encode(Extra(2, 2), tmp_path, "model")
        with pytest.raises(InvalidOption, match="_extra_state"):
            there_and_back(nn.Linear(2, 2), tmp_path, into=Extra(2, 2))

    def test_many_differences_are_counted(self, tmp_path: Path) -> None:
        deep = nn.Sequential(*(nn.Linear(1, 1) for _ in range(30)))
        with pytest.raises(InvalidOption, match="and 40 more"):
            there_and_back(deep, tmp_path, into=nn.Sequential())


class Pair(nn.Module):
    """Two parts, which may be tied in several ways."""

    def __init__(self, kind: str, *, tied: bool) -> None:
        super().__init__()
        whole, rows = torch.randn(6), torch.randn(1, 3)
        if kind == "a tied weight":
            self.embed, self.head = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
            self.head.weight = self.embed.weight if tied else self.head.weight
        elif kind == "a module registered twice":
            self.one = nn.Linear(3, 3)
            self.two = self.one if tied else nn.Linear(3, 3)
        elif kind == "a view":
            self.register_buffer("whole", whole)
            self.register_buffer("head", whole[:2] if tied else torch.randn(2))
        elif kind == "two views that overlap":
            self.register_buffer("start", whole[:4] if tied else torch.randn(4))
            self.register_buffer("end", whole[2:] if tied else torch.randn(4))
        elif kind == "a turned view":
            square = torch.randn(3, 3)
            self.register_buffer("square", square)
            self.register_buffer("turned", square.t() if tied else torch.randn(3, 3))
        elif kind == "bits of another dtype":
            self.register_buffer("numbers", whole)
            self.register_buffer("bits", whole.view(torch.int32) if tied else torch.arange(6, dtype=torch.int32))
        elif kind == "an expanded buffer":
            self.register_buffer("rows", rows.expand(4, 3) if tied else torch.randn(4, 3))


TIES = (
    *("a tied weight", "a module registered twice", "a view", "two views that overlap", "a turned view"),
    *("bits of another dtype", "an expanded buffer"),
)


def copied(module: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return list(one) == list(other) and all(raw(one[name]) == raw(other[name]) for name in one)


class TestFillingNamesThatShareMemory:
    @pytest.mark.parametrize("kind", TIES)
    def test_different_values_are_refused_and_nothing_is_loaded(self, kind: str, tmp_path: Path) -> None:
        target = Pair(kind, tied=True)
        before = copied(target)
        with pytest.raises(InvalidOption, match=r"share memory.*nothing was loaded") as caught:
            there_and_back(Pair(kind, tied=False), tmp_path, into=target)
        assert all(name.partition(".")[0] in str(caught.value) for name in before)
        assert equal(copied(target), before)

    @pytest.mark.parametrize("kind", TIES)
    def test_values_that_agree_are_loaded(self, kind: str, tmp_path: Path) -> None:
        source, target = Pair(kind, tied=True), Pair(kind, tied=True)
        saved = TorchState(copied(source))  # equal, and no longer tied
        there_and_back(saved, tmp_path, into=target)
        assert equal(copied(target), saved.state)

    def test_values_that_are_no_numbers_are_compared_bit_for_bit(self, tmp_path: Path) -> None:
        target = Pair("a tied weight", tied=True)
        saved = {name: torch.full((4, 3), float("nan")) for name in copied(target)}
        there_and_back(TorchState(saved), tmp_path, into=target)
        assert equal(copied(target), saved)
        zeros = {"embed.weight": torch.zeros(4, 3), "head.weight": -torch.zeros(4, 3)}
        with pytest.raises(InvalidOption, match=r"embed\.weight and head\.weight"):
            there_and_back(TorchState(zeros), tmp_path, into=target)

    def test_a_conjugated_view_is_filled_with_what_it_shows(self, tmp_path: Path) -> None:
        def module() -> nn.Module:
            made, numbers = nn.Module(), torch.randn(3, dtype=torch.cfloat)
            made.register_buffer("numbers", numbers)
            made.register_buffer("conjugated", numbers.conj())
            return made

        one, other = module(), module()
        saved = {name: tensor.clone().resolve_conj() for name, tensor in one.state_dict().items()}
        there_and_back(TorchState(saved), tmp_path, into=other)
        assert torch.equal(other.state_dict()["conjugated"].resolve_conj(), saved["conjugated"])
        with pytest.raises(InvalidOption, match="numbers and conjugated"):
            there_and_back(TorchState({**saved, "conjugated": saved["numbers"]}), tmp_path, into=other)

    def test_the_way_out_works(self, tmp_path: Path) -> None:
        source, target = Pair("a tied weight", tied=False), Pair("a tied weight", tied=False)
        there_and_back(source, tmp_path, into=target)
        assert equal(copied(target), copied(source))

    def test_a_sparse_buffer_has_another_form(self, tmp_path: Path) -> None:
        target = nn.Module()
        target.register_buffer("eye", torch.eye(2).to_sparse())
        with pytest.raises(InvalidOption, match=r"sparse_coo float32\[2, 2\] here and float32\[2, 2\] as saved"):
            there_and_back(TorchState({"eye": torch.eye(2)}), tmp_path, into=target)

    def test_what_the_module_itself_refuses_is_told(self, tmp_path: Path) -> None:
        with torch.inference_mode():
            target = nn.Linear(2, 2)
        with pytest.raises(InvalidOption, match="may be filled in part"):
            there_and_back(nn.Linear(2, 2), tmp_path, into=target)


class Scaled(nn.Module):
    """Its first version kept a number, this one keeps its logarithm."""

    _version = 2

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), start))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
        if local_metadata.get("version") is None or local_metadata["version"] < 2:
            state_dict[prefix + "scale"] = state_dict[prefix + "scale"].log()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class TestVersionsOfModules:
    @pytest.mark.parametrize(
        "wrap", [lambda module: module, nn.Sequential, lambda module: nn.ModuleDict({"a": module})]
    )
    def test_a_module_knows_its_own_state_again(self, wrap: Any, tmp_path: Path) -> None:
        source, target, another = (wrap(Scaled(start)) for start in (3.0, 0.0, 0.0))
        there_and_back(source, tmp_path, into=target)
        assert equal(copied(target), copied(source))
        back = there_and_back(source, tmp_path).state
        assert back._metadata == source.state_dict()._metadata
        another.load_state_dict(back)
        assert equal(copied(another), copied(source))

    def test_an_older_state_is_still_converted(self, tmp_path: Path) -> None:
        state: Any = Scaled(3.0).state_dict()
        state._metadata[""]["version"] = 1
        assert there_and_back(TorchState(state), tmp_path, into=Scaled()).scale.item() == pytest.approx(1.0986123)

    def test_a_run_without_versions_loads_as_it_did(self, tmp_path: Path) -> None:
        there_and_back(nn.Linear(2, 2), tmp_path)
        path = tmp_path / "model.json"
        settings = json.loads(path.read_bytes())
        assert settings.pop("versions") == [["", {"version": 1}]]
        path.write_text(json.dumps(settings))
        back = CODEC.decode(tmp_path, "model", {})
        assert type(back.state) is dict
        assert not hasattr(back.state, "_metadata")
        CODEC.decode(tmp_path, "model", {}, into=nn.Linear(2, 2))

    def test_a_plain_dict_has_none(self, tmp_path: Path) -> None:
        there_and_back(TorchState(dict(nn.Linear(2, 2).state_dict())), tmp_path)
        assert "versions" not in json.loads((tmp_path / "model.json").read_bytes())

    def test_more_than_the_version_is_kept(self, tmp_path: Path) -> None:
        state: Any = nn.Linear(2, 2).state_dict()
        state._metadata[""] |= {"scheme": {"bits": [4, 8]}, "old": None}
        assert there_and_back(TorchState(state), tmp_path).state._metadata == state._metadata

    @pytest.mark.parametrize("value", [torch.ones(1), {1, 2}, float("nan"), (1, 2), "\ud800"], ids=repr)
    def test_what_is_no_json_is_refused_by_name(self, value: Any, tmp_path: Path) -> None:
        state: Any = nn.Linear(2, 2).state_dict()
        state._metadata[""]["scheme"] = value
        with pytest.raises(NotEncodable, match=r"state\._metadata\[''\].*save dict\("):
            there_and_back(TorchState(state), tmp_path)
        there_and_back(TorchState(dict(state)), tmp_path)

    @pytest.mark.parametrize(
        "record", [None, {}, 7, [7], [["a"]], [["a", 7]], [[1, {}]], [["a", {}], ["a", {}]]], ids=str
    )
    def test_versions_that_are_none_are_corrupt(self, record: Any, tmp_path: Path) -> None:
        there_and_back(nn.Linear(2, 2), tmp_path)
        path = tmp_path / "model.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "versions": record}))
        with pytest.raises(Corrupt, match="versions"):
            CODEC.decode(tmp_path, "model", {})


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")  # the other compilers take seconds to import


class TestWrappers:
    @pytest.mark.parametrize(
        "wrap",
        [compiled, nn.DataParallel, lambda net: nn.DataParallel(compiled(net))],
        ids=["compiled", "parallel", "both"],
    )
    def test_the_module_inside_is_stored_and_told(self, wrap: Any, tmp_path: Path) -> None:
        net = Net()
        options: Any = CODEC.encode(wrap(net), tmp_path, "model")
        assert all("torch." in name for name in options["unwrapped"])
        bare, wrapped = Net(), wrap(Net())
        assert CODEC.decode(tmp_path, "model", options, into=bare) is bare
        assert CODEC.decode(tmp_path, "model", options, into=wrapped) is wrapped
        assert list(CODEC.decode(tmp_path, "model", options).state) == list(net.state_dict())
        assert equal(copied(bare), copied(net))
        assert [*map(raw, copied(wrapped).values())] == [*map(raw, copied(net).values())]

    @pytest.mark.parametrize("wrap", [compiled, nn.DataParallel], ids=["compiled", "parallel"])
    def test_the_names_of_a_wrapper_still_fill_one(self, wrap: Any, tmp_path: Path) -> None:
        saved, target = wrap(Net()), wrap(Net())
        there_and_back(TorchState(saved.state_dict()), tmp_path, into=target)
        assert equal(copied(target), copied(saved))
        with pytest.raises(InvalidOption, match=r"wrap into= in the same way.*rename"):
            there_and_back(TorchState(saved.state_dict()), tmp_path, into=Net())

    def test_an_average_is_stored_with_its_count(self, tmp_path: Path) -> None:
        average = torch.optim.swa_utils.AveragedModel(Net())
        average.update_parameters(Net())
        other = torch.optim.swa_utils.AveragedModel(Net())
        assert CODEC.encode(average, tmp_path, "model") == {}
        assert CODEC.decode(tmp_path, "model", {}, into=other).n_averaged == 1
        assert equal(copied(other), copied(average))
        with pytest.raises(InvalidOption, match=r"AveragedModel.*rename"):
            CODEC.decode(tmp_path, "model", {}, into=Net())
        there_and_back(average.module, tmp_path, into=Net())

    def test_a_subclass_of_a_wrapper_is_stored_as_it_is(self, tmp_path: Path) -> None:
        class Own(nn.DataParallel[Net]):
            pass

        assert CODEC.encode(Own(Net()), tmp_path, "model") == {}
        CODEC.decode(tmp_path, "model", {}, into=Own(Net()))


def test_a_parameter_without_a_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="first input"):
        CODEC.encode(TorchState({"w": nn.UninitializedParameter()}), tmp_path, "model")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotEncodable, match="surrogate"):
        CODEC.encode(TorchState({"\ud800": torch.ones(1)}), tmp_path, "model")
    assert list(there_and_back(TorchState({"": torch.ones(1)}), tmp_path).state) == [""]


# ---------------------------------------------------------------- files that lie


def header(entries: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


DATA = b"\0" * 8
LIES: dict[str, bytes] = {
    "empty": b"",
    "half a size": b"\0\0\0",
    "a header larger than the file": struct.pack("<Q", 1 << 60) + b"{}",
    "a header of a terabyte": struct.pack("<Q", 1 << 40) + b"{" + b" " * 100,
    "no JSON": header(b"[[["),
    "a list": header(b"[]"),
    "two tensors of one name": header(b'{"w":%s,"w":%s}' % ((json.dumps(entry()).encode(),) * 2), DATA),
    "deep": header(b'{"w":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "no entry": header({"w": 7}, DATA),
    "no offsets": header({"w": {"dtype": "F32", "shape": [2]}}, DATA),
    "a shape of petabytes": header({"w": entry(shape=(1 << 50,), offsets=(0, 1 << 52))}, DATA),
    "offsets behind the end": header({"w": entry(shape=(4,), offsets=(0, 16))}, DATA),
    "a shape of another size": header({"w": entry(shape=(3,))}, DATA),
    "a negative side": header({"w": entry(shape=(-2, -1))}, DATA),
    "a side that is text": header({"w": entry(shape=("2",))}, DATA),
    "a boolean side": header({"w": entry(shape=(True, 2))}, DATA),
    "a side beyond 64 bits": header({"w": entry(shape=(0, 1 << 70), offsets=(0, 0)), "v": entry()}, DATA),
    "nothing, very wide": header({"w": entry(shape=(0, 1 << 62, 1 << 62), offsets=(0, 0)), "v": entry()}, DATA),
    "an unknown dtype": header({"w": entry(dtype="O")}, DATA),
    "a gap": header({"w": entry(shape=(1,), offsets=(4, 8))}, DATA),
    "an overlap": header({"w": entry(), "v": entry(shape=(1,), offsets=(4, 8))}, DATA),
    "bytes of nobody": header({"w": entry()}, DATA * 2),
    "reversed offsets": header({"w": entry(offsets=(8, 0))}, DATA),
    "a boolean of two": header({"w": entry("BOOL", (8,))}, b"\1\0\1\0\1\0\1\2"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_corrupt(lie: str, tmp_path: Path) -> None:
    there_and_back(TorchState({"w": torch.zeros(2)}), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(LIES[lie])
    with pytest.raises(Corrupt):
        CODEC.decode(tmp_path, "model", {})


ALIASES: dict[str, Any] = {
    "of nothing": {"v": {"of": "x"}},
    "of itself": {"v": {"of": "v"}},
    "no alias": {"v": 7},
    "without a shape": {"v": {"of": "w", "offset": 0}},
    "outside": {"v": {"of": "w", "offset": 5, "shape": [2], "stride": [1]}},
    "before": {"v": {"of": "w", "offset": -1, "shape": [1], "stride": [1]}},
    "a stride that leads out": {"v": {"of": "w", "offset": 0, "shape": [2], "stride": [6]}},
    "a bomb of no stride": {"v": {"of": "w", "offset": 0, "shape": [1 << 40], "stride": [0]}},
    "a negative stride": {"v": {"of": "w", "offset": 5, "shape": [2], "stride": [-1]}},
    "a stride too few": {"v": {"of": "w", "offset": 0, "shape": [2, 2], "stride": [1]}},
    "a tensor that is stored": {"w": {"of": "w"}, "v": {"of": "w"}},
    "missing": {},
}


@pytest.mark.parametrize("alias", ALIASES)
def test_a_tie_that_leads_nowhere_is_corrupt(alias: str, tmp_path: Path) -> None:
    save_file({"w": torch.arange(6.0)}, tmp_path / "model.safetensors")
    good = {"names": ["w", "v"], "aliases": {"v": {"of": "w", "offset": 4, "shape": [2], "stride": [1]}}}
    assert read_tensors(CODEC, good, tmp_path / "model.safetensors")["v"].tolist() == [4, 5]
    with pytest.raises(Corrupt):
        read_tensors(CODEC, {**good, "aliases": ALIASES[alias]}, tmp_path / "model.safetensors")


@pytest.mark.parametrize("names", [["w"], ["w", "w"], ["w", "x"], ["w", 1], []])
def test_names_that_do_not_fit_the_file_are_corrupt(names: list[Any], tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1), "v": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(Corrupt):
        read_tensors(CODEC, {"names": names, "aliases": {}}, tmp_path / "model.safetensors")


def test_a_module_of_another_shape_is_not_told_that_its_names_differ(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    run = store.save(nn.Linear(2, 1), "net/EURUSD")
    with pytest.raises(InvalidOption, match="other shape") as refused:
        run.load(into=nn.Linear(3, 1))
    assert "names differ" not in str(refused.value)


# ---------------------------------------------------------------- weight normalisation


def normed(form: Any) -> nn.Sequential:
    """A network with weights that are normalised, one of them by another side."""
    torch.manual_seed(5)
    layers = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Conv1d(3, 4, 1)))
    form(layers[0])
    form(layers[1][0], dim=1)  # type: ignore[index]
    return layers


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weights_of_the_older_weight_norm_are_loaded_into_the_newer(tmp_path: Path) -> None:
    older, newer = normed(nn.utils.weight_norm), normed(nn.utils.parametrizations.weight_norm)
    with torch.no_grad():
        for parameter in older.parameters():
            parameter.mul_(1.5)
    windows = torch.randn(5, 3)
    assert there_and_back(older, tmp_path, into=newer) is newer
    filled = [newer[0](windows), newer[1](windows[..., None])]
    assert torch.equal(filled[0], older[0](windows))
    assert torch.equal(filled[1], older[1](windows[..., None]))
    assert set(there_and_back(older, tmp_path).state) == set(older.state_dict())
    again = normed(nn.utils.weight_norm)
    assert torch.equal(there_and_back(older, tmp_path, into=again)[0](windows), filled[0])


class Split(nn.Module):
    """A parametrization of somebody's own, which keeps two tensors as well."""

    def forward(self, one: Any, other: Any) -> Any:
        return one * other

    def right_inverse(self, weight: Any) -> Any:
        return torch.ones(3, 1), weight


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_a_norm_of_another_form_is_refused_and_a_way_out_is_named(tmp_path: Path) -> None:
    older, newer = normed(nn.utils.weight_norm), normed(nn.utils.parametrizations.weight_norm)
    with pytest.raises(InvalidOption, match=r"make into= with torch\.nn\.utils\.parametrizations\.weight_norm"):
        there_and_back(newer, tmp_path, into=older)
    other = nn.Sequential(nn.Linear(3, 3))
    nn.utils.parametrize.register_parametrization(other[0], "weight", Split())
    with pytest.raises(InvalidOption, match=r"unexpected .*0\.weight_g"):
        there_and_back(nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 3))), tmp_path, into=other)
    across = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3), dim=1))
    with pytest.raises(InvalidOption, match=r"original0 is float32\[1, 3\] here and float32\[3, 1\] as saved"):
        there_and_back(nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 3))), tmp_path, into=across)
