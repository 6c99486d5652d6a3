"""Build the distributions of this checkout and install them where the sources are out of sight."""

from __future__ import annotations

import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tools.environment import venv_python
from tools.processes import HERE, Argument, quietly

BUILD = HERE / "build"


@dataclass(frozen=True)
class Built:
    """The wheels, and a tree that holds all of the source distribution but the package itself."""

    wheels: tuple[Path, ...]
    tree: Path


def build() -> Built:
    """Build the source distribution, and from it the wheel: so each is known to be complete."""
    dist, unpacked = BUILD / "dist", BUILD / "sdist"
    for old in (dist, unpacked):
        shutil.rmtree(old, ignore_errors=True)
    python = venv_python()
    quietly([python, "-m", "hatchling", "build", "-t", "sdist", "-d", dist])
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (tree,) = unpacked.iterdir()
    for source in (tree, HERE / "models"):
        quietly([python, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", dist, source])
    shutil.rmtree(tree / "artifact_store")  # the tests in this tree can only import an installed package
    return Built(tuple(sorted(dist.glob("*.whl"))), tree)


def install_wheels(built: Built) -> Path:
    """Install the wheels into an environment of their own and return its interpreter.

    The dependencies are those of ``.venv``, seen through a path file. What is installed editable in there stays
    invisible, because path files are read in an environment's own directory only.
    """
    venv = BUILD / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    quietly([sys.executable, "-m", "venv", "--without-pip", venv])
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own, shared = (Path(quietly([python, "-c", where]).strip()) for python in (venv_python(venv), venv_python()))
    pip: list[Argument] = [venv_python(), "-m", "pip", "--python", venv_python(venv)]
    quietly([*pip, "install", "-q", "--no-deps", "--no-index", *built.wheels])
    (own / "dependencies.pth").write_text(f"{shared}\n", encoding="utf-8")
    return venv_python(venv)
