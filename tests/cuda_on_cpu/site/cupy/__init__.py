"""Prepare the real CuPy for a machine without a card, and make way for it."""

import sys
from pathlib import Path

_site = Path(__file__).parents[1]
sys.path[:] = [path for path in sys.path if Path(path) != _site]
sys.path.append(str(_site.parents[1]))
del sys.modules["cupy"]
from cuda_on_cpu.prepare import prepare  # noqa: E402

prepare()
import cupy  # noqa: E402, F401
