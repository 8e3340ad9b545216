"""Where tests find MPI."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

MPIEXEC = shutil.which(
    "mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
missing = "mpi4py" if find_spec("mpi4py") is None else "mpiexec"
needs_mpi = pytest.mark.skipif(
    find_spec("mpi4py") is None or MPIEXEC is None,
    reason=f"needs {missing}: pip install 'nnx-mlp[mpi]'",
)
