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
