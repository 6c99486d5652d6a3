"""A module that several processes train together is stored as the module inside. The group has one member, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from artifact_store import ArtifactStore


@pytest.fixture
def group() -> Iterator[None]:
    if not distributed.is_available():
        pytest.skip("this torch has no distributed training")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_a_distributed_module_is_stored_as_the_module_inside(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    run = ArtifactStore(tmp_path / "store").save(DistributedDataParallel(net), "net/X")
    name = "torch.nn.parallel.distributed.DistributedDataParallel"
    assert run.manifest.components["model"].options == {"unwrapped": [name]}
    bare, wrapped = nn.Linear(2, 2), DistributedDataParallel(nn.Linear(2, 2))
    run.load(into=bare)
    assert run.load(into=wrapped) is wrapped
    assert list(run.load().state) == ["weight", "bias"]
    for module in (bare, wrapped.module):
        assert torch.equal(module.weight, net.weight)
