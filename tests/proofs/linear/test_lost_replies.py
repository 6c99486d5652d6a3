"""A network that loses replies and requests: every acknowledged publish is there exactly once, and no other."""

import json

import pytest

from artifact_store import ArtifactStore
from tests.integration.e2e.test_processes import saved_by
from tests.servers import LostReply, LostRequest

KEY = "gru/BTCEUR"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_publishes_over_a_lossy_network_are_each_there_exactly_once(engine, proxy, seaweed, seaweed_prefix):
    direct = {"url": seaweed.url(seaweed_prefix), "engine": engine, "storage_options": seaweed.storage_options()}
    ArtifactStore(**direct).save({"writer": "first", "number": 0}, KEY, alias="other")  # makes the store
    replies = proxy.on(LostReply(), method="PUT", probability=0.2)
    requests = proxy.on(LostRequest(), method="PUT", probability=0.1)
    lossy = direct | {"storage_options": proxy.storage_options()}
    told = saved_by(lossy, writers=8, each=20)
    struck = [record.fault for record in proxy.records if record.fault is not None]
    assert len(told) == 160
    assert sum(isinstance(fault, LostReply) for fault in struck) > 50
    assert sum(isinstance(fault, LostRequest) for fault in struck) > 25
    assert replies is not requests
    store = ArtifactStore(**direct)
    past = store.history(KEY)
    assert [entry.seq for entry in past] == list(range(1, 161))
    assert sorted((line["seq"], line["run_id"], line["write_id"]) for line in told) == [
        (entry.seq, entry.run_id, entry.write_id) for entry in past
    ]
    assert store.verify(KEY).ok
    print(json.dumps({"engine": engine, "lost": len(struck)}))
