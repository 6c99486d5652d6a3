"""The few native parts that a Windows CPython under Wine needs, built with the mingw cross compiler.

``python.exe``, because no package brings one; ``python3.dll``, which forwards the stable ABI; a
``bcryptprimitives.dll``, which Wine 8 lacks and every Rust extension imports; and a library of C99 complex functions,
which Wine's C runtime has as stubs that abort.
"""

from __future__ import annotations

import re
from pathlib import Path

from tools.processes import quietly

COMPILER = "x86_64-w64-mingw32-gcc-posix"
OBJDUMP = "x86_64-w64-mingw32-objdump"
MATH = "api-ms-win-crt-math-l1-1-0.dll"
OUR_MATH = "npi-ms-win-crt-math-l1-1-0.dll"  # as long as the real name, so that an import can be changed in place

PYTHON_EXE = """
#include <windows.h>
typedef int (*entry)(int, wchar_t **);
int wmain(int argc, wchar_t **argv) {
    HMODULE python = LoadLibraryW(L"python311.dll");
    entry run = python ? (entry)(void *)GetProcAddress(python, "Py_Main") : 0;
    return run ? run(argc, argv) : 120;
}
"""

BCRYPT_PRIMITIVES = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE into, SIZE_T left) {
    while (left) {
        ULONG now = left > 0x10000000 ? 0x10000000 : (ULONG)left;
        if (!SystemFunction036(into, now)) return FALSE;
        into += now;
        left -= now;
    }
    return TRUE;
}
"""

# Microsoft's complex numbers are structures of two floats, and its long double is a double.
COMPLEX_HEAD = """
#include <complex.h>
typedef struct { double r, i; } D;
typedef struct { float r, i; } F;
static inline double complex to_d(D x) { double complex z; __real__ z = x.r; __imag__ z = x.i; return z; }
static inline float complex to_f(F x) { float complex z; __real__ z = x.r; __imag__ z = x.i; return z; }
static inline D of_d(double complex z) { D x = {creal(z), cimag(z)}; return x; }
static inline F of_f(float complex z) { F x = {crealf(z), cimagf(z)}; return x; }
"""
TO_COMPLEX = ["cexp", "clog", "conj", "cproj", "csqrt"]
TO_COMPLEX += [
    f"c{arc}{name}{hyperbolic}" for arc in ("", "a") for name in ("cos", "sin", "tan") for hyperbolic in ("", "h")
]
TO_REAL = ["cabs", "carg", "cimag", "creal"]
TEN = "2.302585092994045684"


def compile_parts(home: Path, libraries: Path, work: Path) -> None:
    """Put ``python.exe``, ``python3.dll`` and ``bcryptprimitives.dll`` beside ``python311.dll`` in ``home``.

    The library of complex functions goes there, too; ``libraries`` holds the one whose names it offers.
    """
    work.mkdir(exist_ok=True)
    build("python.exe", PYTHON_EXE, home, work, before=("-municode",))
    build("bcryptprimitives.dll", BCRYPT_PRIMITIVES, home, work, before=("-shared",), after=("-ladvapi32",))
    stable = [name for name in exports(home / "python311.dll") if re.fullmatch(r"_?Py\w+", name)]
    forwards = definition("python3.dll", {name: f"python311.{name}" for name in stable}, work)
    build("python3.dll", "", home, work, before=("-shared", "-nostdlib", "-Wl,--entry=0"), after=(str(forwards),))
    ours = complex_functions()
    names = {name: f"ucrtbase.{name}" for name in exports(libraries / MATH)} | {name: f"own_{name}" for name in ours}
    build(
        OUR_MATH,
        COMPLEX_HEAD + "\n".join(ours.values()),
        home,
        work,
        before=("-O2", "-shared", "-fno-builtin", "-static-libgcc"),
        after=(str(definition(OUR_MATH, names, work)),),
    )


def build(
    name: str, source: str, home: Path, work: Path, *, before: tuple[str, ...], after: tuple[str, ...] = ()
) -> None:
    """Compile one C source to ``home/name``."""
    code = work / f"{name}.c"
    code.write_text(source, encoding="ascii")
    quietly([COMPILER, "-O1", "-s", *before, "-o", home / name, code, *after], cwd=work)


def definition(library: str, names: dict[str, str], work: Path) -> Path:
    """Write the list of what a library exports and where each name leads."""
    path = work / f"{library}.def"
    lines = [f"LIBRARY {library}", "EXPORTS", *(f"  {name} = {target}" for name, target in sorted(names.items()))]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def exports(library: Path) -> list[str]:
    """Return the names that a library exports."""
    listing = quietly([OBJDUMP, "-p", library]).partition("[Ordinal/Name Pointer] Table")[2].partition("\n\n")[0]
    return re.findall(r"^\s*\[ *\d+\].*?(\S+)$", listing, flags=re.MULTILINE)


def complex_functions() -> dict[str, str]:
    """Return name → C source of every complex function that a Windows C runtime exports."""
    code: dict[str, str] = {}

    def define(name: str, result: str, parameters: str, value: str) -> None:
        code[name] = f"{result} own_{name}({parameters}) {{ {value} }}"

    for name in TO_COMPLEX:
        define(f"{name}f", "F", "F x", f"return of_f({name}f(to_f(x)));")
    for name in TO_REAL:
        define(f"{name}f", "float", "F x", f"return {name}f(to_f(x));")
    define("clog10f", "F", "F x", f"return of_f(clogf(to_f(x)) / {TEN}f);")
    define("cpowf", "F", "F x, F y", "return of_f(cpowf(to_f(x), to_f(y)));")
    define("normf", "float", "F x", "return x.r * x.r + x.i * x.i;")
    define("_FCbuild", "F", "float a, float b", "F x = {a, b}; return x;")
    define("_FCmulcc", "F", "F a, F b", "return of_f(to_f(a) * to_f(b));")
    define("_FCmulcr", "F", "F a, float b", "F x = {a.r * b, a.i * b}; return x;")
    for suffix, letter in (("", ""), ("l", "L")):
        for name in TO_COMPLEX:
            define(f"{name}{suffix}", "D", "D x", f"return of_d({name}(to_d(x)));")
        for name in TO_REAL:
            define(f"{name}{suffix}", "double", "D x", f"return {name}(to_d(x));")
        define(f"clog10{suffix}", "D", "D x", f"return of_d(clog(to_d(x)) / {TEN});")
        define(f"cpow{suffix}", "D", "D x, D y", "return of_d(cpow(to_d(x), to_d(y)));")
        define(f"norm{suffix}", "double", "D x", "return x.r * x.r + x.i * x.i;")
        define(f"_{letter}Cbuild", "D", "double a, double b", "D x = {a, b}; return x;")
        define(f"_{letter}Cmulcc", "D", "D a, D b", "return of_d(to_d(a) * to_d(b));")
        define(f"_{letter}Cmulcr", "D", "D a, double b", "D x = {a.r * b, a.i * b}; return x;")
    return code


def use_our_math(packages: Path) -> None:
    """Lead every extension that imports the complex functions to ours, by one byte of the library's name."""
    for path in packages.rglob("*"):
        if path.suffix in {".pyd", ".dll"} and MATH.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(MATH.encode(), OUR_MATH.encode()))
