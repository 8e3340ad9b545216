"""A header, compiled with a compiler's strictest checks, and called."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

STRICT = (
    "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wdouble-promotion",
    "-Werror", "-O1",
)  # fmt: skip
SOURCE = """#include "model.h"
void predict(const char *x, char *y, int n, int of_x, int of_y)
{
    for (; n > 0; n--, x += of_x, y += of_y)
        nnx_predict((const void *)x, (void *)y);
}
"""
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def predict(
    header: bytes, folder: Path, given: np.ndarray, outputs: int, dtype: str
) -> np.ndarray:
    """Return what the header's function gives for each row."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    (folder / "model.h").write_bytes(header)
    (folder / "model.c").write_text(SOURCE)
    command = [COMPILER, *STRICT, "-shared", "-fPIC", "-o", "model.so", "model.c"]
    ran = subprocess.run([*command, "-lm"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    library = ctypes.CDLL(str(folder / "model.so"))
    given, found = np.ascontiguousarray(given), np.empty((len(given), outputs), dtype)
    pointers = [a.ctypes.data_as(ctypes.c_char_p) for a in (given, found)]
    library.predict(*pointers, len(given), given[0].nbytes, found[0].nbytes)
    return found
