"""What codecs do in a process of its own: which modules they need there, and that they write the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from artifact_store import TorchState
from artifact_store.codecs.sb3.vecnormalize import VecNormalizeCodec
from artifact_store.codecs.torch.state import TorchStateCodec
from tests.environments import tiny
from tests.unit.test_codec_vecnormalize import used


def test_choosing_and_looking_up_import_no_framework() -> None:
    script = (
        "import sys\n"
        "from artifact_store.core.codec import CodecRef\n"
        "from artifact_store.core.registry import CodecRegistry\n"
        "CodecRegistry().for_object({}), CodecRegistry().for_ref(CodecRef('lightgbm', 1))\n"
        "frameworks = {'numpy', 'pandas', 'pyarrow', 'polars', 'lightgbm', 'sklearn', 'torch', 'stable_baselines3'}\n"
        "print(*frameworks & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_looking_up_imports_only_the_module_that_was_recorded() -> None:
    script = (
        "import sys\n"
        "from artifact_store.core.codec import CodecRef\n"
        "from artifact_store.core.registry import CodecRegistry\n"
        "before = set(sys.modules)\n"
        "CodecRegistry().for_ref(CodecRef('raw', 1))\n"
        "print(*sorted(name for name in set(sys.modules) - before if name.startswith('artifact_store.codecs.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["artifact_store.codecs.files", "artifact_store.codecs.raw"]


def test_equal_states_have_equal_bytes_in_another_process(tmp_path: Path) -> None:
    program = (
        "import sys, torch; from pathlib import Path; from artifact_store import TorchState;"
        "from artifact_store.codecs.torch.state import TorchStateCodec;"
        "state = {f'layer.{n}': torch.arange(n, n + 5.0) for n in range(9)};"
        "TorchStateCodec().encode(TorchState(state, {'b': 1, 'a': 2}), Path(sys.argv[1]), 'there')"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    state = {f"layer.{n}": torch.arange(n, n + 5.0) for n in range(9)}
    TorchStateCodec().encode(TorchState(state, {"a": 2, "b": 1}), tmp_path, "here")
    for suffix in (".json", ".safetensors"):
        assert (tmp_path / f"here{suffix}").read_bytes() == (tmp_path / f"there{suffix}").read_bytes()


def test_a_normalizer_needs_numpy_only(tmp_path: Path) -> None:
    env = used(tiny())
    VecNormalizeCodec().encode(env, tmp_path, "model")
    program = (
        "import sys, numpy as np; from pathlib import Path;"
        "from artifact_store.codecs.sb3.vecnormalize import VecNormalizeCodec;"
        "made = VecNormalizeCodec().decode(Path(sys.argv[1]), 'model', {});"
        "print(made.normalize_obs(np.ones(3, np.float32)).tobytes().hex());"
        "print({'torch', 'stable_baselines3', 'gymnasium'} & {name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    numbers, loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[:2]
    assert bytes.fromhex(numbers) == env.normalize_obs(np.ones(3, np.float32)).tobytes()  # type: ignore[union-attr]
    assert loaded == "set()"
