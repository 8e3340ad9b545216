"""NVIDIA's own compilers, which need no driver: NVRTC, and ptxas after it."""

import ctypes
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

ARCHITECTURES = "sm_80", "sm_90", "sm_100", "sm_120"
PARTS = "cuda_nvrtc", "cuda_nvcc", "cuda_runtime"
KERNEL = re.compile(
    r"entry function '(?P<name>\w+)'.*?(?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.S,
)


class CompileError(Exception):
    """What the compiler says of a source."""


class Kernel(NamedTuple):
    """A kernel as it is on one architecture.

    registers: of each thread
    spilled: bytes that did not fit into them, stored and loaded
    """

    name: str
    registers: int
    spilled: int


def why_not() -> str | None:
    """Return which wheel is missing, or None."""
    if find_spec("nvidia") is None:
        return "the wheels of NVIDIA's compilers are not installed"
    for part in PARTS:
        if find_spec(f"nvidia.{part}") is None:
            return f"nvidia-{part.replace('_', '-')}-cu12 is not installed"
    return None


def kernels(
    source: str, architecture: str, options: Sequence[str] = ()
) -> list[Kernel]:
    """Return a source's kernels, compiled for an architecture such as "sm_90".

    options: NVRTC's, such as "-DDEPTH=80"

    Raises:
        CompileError: a compiler refuses it
    """
    text = ptx(source, architecture, options)
    with NamedTemporaryFile(suffix=".ptx") as file:
        file.write(text)
        file.flush()
        assembler = str(_folder("cuda_nvcc") / "bin" / "ptxas")
        command = [
            assembler,
            "-v",
            f"-arch={architecture}",
            file.name,
            "-o",
            "/dev/null",
        ]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise CompileError(ran.stderr)
    return [
        Kernel(m["name"], int(m["registers"]), int(m["stores"]) + int(m["loads"]))
        for m in KERNEL.finditer(ran.stderr)
    ]


def ptx(source: str, architecture: str, options: Sequence[str] = ()) -> bytes:
    """Return a source in PTX.

    Raises:
        CompileError: NVRTC refuses it
    """
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    text = source.encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, b"", 0, None, None)
    words = [f"-arch={architecture}", "-std=c++17", "-ftz=true", *options]
    words.append(f"-I{_folder('cuda_runtime') / 'include'}")
    encoded = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
    try:
        if nvrtc.nvrtcCompileProgram(program, len(words), encoded):
            raise CompileError(_text(program, "ProgramLog").decode())
        return _text(program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(program: ctypes.c_void_p, what: str) -> bytes:
    """Return a program's PTX or log."""
    size = ctypes.c_size_t()
    getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    getattr(_nvrtc(), f"nvrtcGet{what}")(program, text)
    return text.value


@cache
def _nvrtc() -> ctypes.CDLL:
    return ctypes.CDLL(str(_folder("cuda_nvrtc") / "lib" / "libnvrtc.so.12"))


def _folder(part: str) -> Path:
    return Path(next(iter(find_spec(f"nvidia.{part}").submodule_search_locations)))
