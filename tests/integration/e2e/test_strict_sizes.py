"""A file of five gibibytes and a byte, saved by each engine into a front that hashes its parts and lets them go.

It is sparse, so it takes no room here; nothing of it is stored there (``tests/servers/strict/sparse.py``), so it cannot be
loaded. What is shown: it goes up in parts that Amazon takes, in memory that does not grow with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.storage.parts import part_size
from tests.servers import SeaweedServer
from tests.servers.strict.requests import LARGEST_PUT, MOST_PARTS, SMALLEST_PART
from tests.servers.strict.sparse import SparseFront

pytestmark = pytest.mark.xdist_group("test_strict_front")

SIZE = LARGEST_PUT + 1
ROOM = 150 << 20
"""What a process takes beyond what it had before: 32 MiB of parts, and what the client holds of those that it sends."""
PROGRAM = """
import json, re, sys
from pathlib import Path
from artifact_store import ArtifactStore

def peak():  # not getrusage: what it says of a process begins with what its parent had
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

place = json.load(sys.stdin)
with ArtifactStore(place["url"], engine=place["engine"], storage_options=place["options"], timeout=120.0) as store:
    store.save({"n": 1}, "small/FILE")
    before = peak()
    with store.new_run("large/FILE") as draft:
        draft.add("model", {"n": 1})
        draft.add_file("large.bin", place["file"])
        run = draft.commit()
    print(json.dumps([run.run_id, before, peak()]))
"""


@pytest.mark.nightly
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize("engine", ["obstore", "fsspec"])
def test_five_gibibytes_and_a_byte_go_up_in_bounded_memory(
    seaweed: SeaweedServer, seaweed_prefix: str, tmp_path: Path, engine: str
) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as sparse:
        sparse.truncate(SIZE)
    with SparseFront(seaweed) as front:
        url, options = front.url(seaweed_prefix), front.storage_options()
        place = {"url": url, "engine": engine, "options": options, "file": str(file)}
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(
            command, input=json.dumps(place), capture_output=True, text=True, timeout=1200, check=False
        )
        file.unlink()  # what the test leaves behind is looked through for secrets
        assert done.returncode == 0, done.stderr
        run_id, before, after = json.loads(done.stdout)
        assert front.refused == []
        (upload,) = front.uploads
        sizes = [upload.sizes[number] for number in sorted(upload.sizes)]
    print(
        f"{engine}: {len(sizes)} parts of {sizes[0]} bytes, the last {sizes[-1]}; {before >> 20} to {after >> 20} MiB"
    )
    assert upload.finished is not None
    assert sum(sizes) == SIZE
    assert sorted(upload.sizes) == list(range(1, len(sizes) + 1))
    assert len(sizes) <= MOST_PARTS
    assert set(sizes[:-1]) == {part_size(SIZE)}
    assert SMALLEST_PART <= sizes[0] <= LARGEST_PUT
    assert after - before < ROOM
    assert run_id
