"""The wrappers around an environment of stable-baselines3: which change what an agent sees, and how they lie.

Knows them by name, and imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from artifact_store.codecs.files import dotted

_MODULES: Final = "stable_baselines3.common.vec_env"
NORMALIZE: Final = "VecNormalize"
_NORMALIZE: Final = f"{_MODULES}.vec_normalize.{NORMALIZE}"
CHANGING: Final = {
    f"{_MODULES}.vec_frame_stack.VecFrameStack": "VecFrameStack",
    f"{_MODULES}.vec_transpose.VecTransposeImage": "VecTransposeImage",
    f"{_MODULES}.vec_extract_dict_obs.VecExtractDictObs": "VecExtractDictObs",
    _NORMALIZE: NORMALIZE,
}
"""The wrappers that give an agent other observations than the environments do, by their dotted names."""
WATCHING: Final = (
    f"{_MODULES}.vec_monitor.VecMonitor",
    f"{_MODULES}.vec_check_nan.VecCheckNan",
    f"{_MODULES}.vec_video_recorder.VecVideoRecorder",
)
"""The wrappers that look on: they log, count or record, and change nothing."""


def layers(venv: Any) -> Iterator[Any]:
    """Yield the wrappers of an environment, the outermost first, and at the end what they are around."""
    while venv is not None:
        yield venv
        venv = vars(venv).get("venv")


def changing(venv: Any) -> list[str]:
    """Return the names of the wrappers that change observations, the outermost first."""
    return [CHANGING[name] for layer in layers(venv) if (name := dotted(type(layer))) in CHANGING]


def is_normalizer_alone(venv: Any) -> bool:
    """Tell whether it is a VecNormalize, or of a class made of it, and nothing inside of it changes observations."""
    return any(dotted(kind) == _NORMALIZE for kind in type(venv).__mro__) and not changing(vars(venv).get("venv"))
