"""g++: the pretended libraries, and the kernels that they launch."""

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from fcntl import LOCK_EX, flock
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import platformdirs

HERE = Path(__file__).parent
GXX = ["g++", "-std=c++17", "-fPIC", "-w"]
LIBRARY = [*GXX, "-O3", "-shared"]
KERNEL = [*GXX, "-O1", "-fpermissive"]
# A misaligned access, which a device refuses, is a trap.
KERNEL += ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
# Linking with no more takes a quarter less time in all.
LINKED = ["-shared", "-nostdlib", "-Wl,--no-as-needed,-lm"]
ENTRY = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\('
)
DYNAMIC = re.compile(
    r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w\s]+?)(\w+)\[\];"
)
# Values of Kind in driver.h.
ALONE, IN_TURN, TOGETHER = range(3)
WAITS = re.compile(r"__sync|_sync\(|emu_\w|__nanosleep|_REDUCE|__trap")


class BuildError(Exception):
    """What g++ says of a source."""


def base() -> Path:
    """Return the folder for all that is compiled, which CUDA_ON_CPU_CACHE may name."""
    named = os.environ.get("CUDA_ON_CPU_CACHE")
    return Path(named or platformdirs.user_cache_dir("nnx-cuda-on-cpu"))


@cache
def folder() -> Path:
    """Return the folder that keeps what was compiled of these sources."""
    sources = sorted([*HERE.glob("*.cpp"), *HERE.glob("*.h"), Path(__file__)])
    known = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    known.update(_cupy_include().encode())
    made = base() / known.hexdigest()[:16]
    made.mkdir(parents=True, exist_ok=True)
    return made


def _cupy_include() -> str:
    """Return CuPy's headers, without importing it."""
    root = Path(find_spec("cupy_backends").origin).parents[1]
    return str(root / "cupy" / "_core" / "include")


def libraries() -> list[Path]:
    """Return the driver and cuBLAS, built where they are not there yet."""
    driver = [str(HERE / name) for name in ("threads.cpp", "driver.cpp", "runtime.cpp")]
    symbols = f"-Wl,--version-script={HERE / 'cublas.map'}"
    blas = [symbols, str(HERE / "cublas.cpp")]
    return [
        _built("libcuda.so.1", [*LIBRARY, "-Wl,-soname,libcuda.so.1", *driver, "-ldl"]),
        _built("libcublas.so.12", [*LIBRARY, "-Wl,-soname,libcublas.so.12", *blas]),
    ]


def kernels(source: str, options: Sequence[str] = ()) -> Path:
    """Return the shared object of a CUDA source.

    options: NVRTC's; those that g++ knows too, -D and -I, are taken

    Raises:
        BuildError: g++ refuses it
    """
    text = as_cpp(source)
    taken = [option for option in options if option.startswith(("-D", "-I"))]
    name = hashlib.sha256("\0".join([text, *taken]).encode()).hexdigest()[:24]
    command = [*KERNEL, *LINKED, "-include", str(_precompiled()), *taken]
    return _built(f"{name}.so", [*command, "-I", _cupy_include()], text)


def as_cpp(source: str) -> str:
    """Return a CUDA source with what the driver asks of it: entries, and their kind."""
    plain = re.sub(r"#include <cupy/(complex|float16|bfloat16)\.cuh>", "", source)
    plain = DYNAMIC.sub(r"\n#define \2 ((\1*)emu_shared())\n", plain)
    entries = [
        f'extern "C" void emu_entry_{name}(void** args) {{ emu_call(&{name}, args); }}'
        for name in ENTRY.findall(source)
    ]
    statics = "__start_emu_shared, __stop_emu_shared"
    return "\n".join(
        [
            plain,
            *entries,
            f'extern "C" {{ int emu_kind = {_kind(source)};',
            f"char* emu_statics[2] = {{{statics}}}; }}\n",
        ]
    )


def _kind(source: str) -> int:
    if WAITS.search(source):
        return TOGETHER
    # CuPy's loop over an index, which strides over the grid.
    return ALONE if "CUPY_FOR(" in source else IN_TURN


@cache
def _precompiled() -> Path:
    """Return a header, beside which g++ finds what it has made of device.h."""
    included = ["-I", str(HERE), "-I", _cupy_include()]
    header = f'#include "{HERE / "device.h"}"\n'
    made = _built("all.h.gch", [*KERNEL, *included, "-x", "c++-header"], header)
    return made.with_suffix("")


def _built(name: str, command: list[str], source: str = "") -> Path:
    """Return the file of this name, which g++ makes of a source beside it.

    A library's sources are in its command.
    """
    made = folder() / name
    if made.exists():
        return made
    with open(folder() / f".{name}.lock", "w") as lock:
        flock(lock, LOCK_EX)
        if not made.exists():
            new = folder() / f"{name}.new"
            if source:
                suffix = "" if name.endswith(".gch") else ".cpp"
                beside = made.with_suffix(suffix)
                beside.write_text(source)
                command = [*command, str(beside)]
            ran = subprocess.run(
                [*command, "-o", str(new)], capture_output=True, text=True
            )
            if ran.returncode:
                raise BuildError(ran.stderr[:2000])
            new.replace(made)
    return made
