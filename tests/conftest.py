"""The backends under test, and a small data set."""

import os
import signal
import sys
from contextlib import suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cuda_on_cpu import build
from cuda_on_cpu.prepare import why_not
from usable import usable

from nnx.backend import Backend, find
from nnx.data.dataset import Dataset, Frame, Split
from nnx.errors import BackendError
from nnx.network import Network
from nnx.training.train import train

# Each as the arguments of `find`. A pretended device of array-api-strict stands in
# for a GPU: an array made on the wrong device is an error there.
PLAIN = [("numpy", {}), ("numba", {})]
STRICT = [("strict", {}), ("strict", {"device": "device1"})]
GPU = [pytest.param(("cupy", {}), marks=pytest.mark.gpu)]
# What need not be installed: a backend that cannot be used is skipped, and says why.
EXTRAS = [("torch", {}), ("jax", {})]
CUDA_ON_CPU = Path(__file__).parent / "cuda_on_cpu" / "site"
# Whose tests see neither --sweep nor that a library more is installed, but for those of
# Numba, whose teams are larger, and those that were skipped without the library.
SETTLED = (
    "benchmarks/test_gpu_script",
    "cli/test_config_file", "cli/test_doubts", "cli/test_faults_data",
    "cli/test_faults_diverged", "cli/test_faults_models", "cli/test_faults_paths",
    "cli/test_faults_pictures", "cli/test_faults_settings", "cli/test_from",
    "cli/test_habits", "cli/test_mpi", "cli/test_page", "cli/test_plot",
    "cli/test_predict_table", "cli/test_python_and_command", "cli/test_signals",
    "cli/test_stop", "cli/test_streams", "cli/test_sweep", "cli/test_terminal",
    "cli/test_train_table", "cli/test_two_at_once", "cli/test_validation", "data/",
    "distributed/", "maths/", "report/", "training/", "verify/test_gradient_check",
    "verify/test_own_network",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sweep", action="store_true", help="take the long sweeps too")
    parser.addoption(
        "--emulated",
        action="store_true",
        help="with -m gpu: have CuPy use a device that is emulated on the CPU",
    )
    parser.addoption(
        "--settled-by",
        type=Path,
        metavar="XML",
        help="the --junitxml of a run without PyTorch, JAX and --sweep: leave out what "
        "passed there and these do not change",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have the processes of xdist compute with one thread each.

    On two cores, the threads of two processes' matrix products wait for one another,
    and a small network takes ten times as long. Without --sweep each has a core of its
    own, too, and a team of Numba's one thread where a test asks for no number.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    # scikit-learn's dispatch by array library asks for it before SciPy is imported.
    os.environ.setdefault("SCIPY_ARRAY_API", "1")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # As a shell has it of what it begins in the background; nnx would leave it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and not config.getoption("sweep") and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    if config.getoption("emulated"):
        _emulate_a_device()


def _emulate_a_device() -> None:
    """Have this process and those it starts find the CuPy of `cuda_on_cpu`."""
    if reason := why_not():
        pytest.exit(f"not run: {reason}", returncode=0)
    paths = [str(CUDA_ON_CPU), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    sys.path.insert(0, str(CUDA_ON_CPU))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # Tests give their processes other folders for caches.
    os.environ["CUDA_ON_CPU_CACHE"] = str(build.base())
    try:
        find("cupy")
    except BackendError as error:  # for which tests would be skipped
        raise pytest.UsageError(str(error)) from None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave the long sweeps out, unless they are asked for, and what is settled."""
    out = set[pytest.Item]()
    if not config.getoption("sweep"):
        out = {item for item in items if item.get_closest_marker("sweep")}
    if report := config.getoption("settled_by"):
        passed = _passed(report)
        out |= {item for item in items if _is_settled(item.nodeid, passed)}
    config.hook.pytest_deselected(items=[item for item in items if item in out])
    items[:] = [item for item in items if item not in out]


def _passed(report: Path) -> set[tuple[str, str]]:
    """Return the module and name of each test that passed; others say what happened."""
    cases = ElementTree.parse(report).iter("testcase")
    return {
        (case.attrib["classname"], case.attrib["name"])
        for case in cases
        if not len(case)
    }


def _is_settled(node: str, passed: set[tuple[str, str]]) -> bool:
    """Return whether a test, as tests/data/test_idx.py::test_a, need not be run."""
    module, _, name = node.partition("::")
    place = module.removeprefix("tests/")
    known = (module.removesuffix(".py").replace("/", "."), name) in passed
    return known and place.startswith(SETTLED) and "numba" not in node


def _name(chosen: tuple[str, dict[str, str]]) -> str:
    return "-".join([chosen[0], *chosen[1].values()])


@pytest.fixture(params=PLAIN + STRICT + EXTRAS + GPU, ids=_name)
def backend(request: pytest.FixtureRequest) -> Backend:
    name, options = request.param
    needed = name in ("numpy", "numba", "strict")
    return find(name, **options) if needed else usable(name, **options)


@pytest.fixture(scope="session", autouse=True)
def _compiled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Compile Numba's steps once, each dtype's in one of xdist's processes.

    After a change of the backend that takes half a minute, and every test that comes
    upon it would compile them anew. Small networks have teams of threads here too.
    """
    if not any("numba" in item.name for item in request.session.items):
        return
    with suppress(ImportError):
        from nnx_backends.numba_cpu import run

        run.STEPS_WORTH_A_THREAD = 1
    images, labels = np.eye(4, dtype=np.uint8), np.arange(4) % 2
    part = Split(images, labels)
    data = Dataset("eye", part, part, ("a", "b"), Frame(2, 2, 1, 2))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    folder = tmp_path_factory.getbasetemp().parent
    for dtype in ["float32", "float64"][:: -1 if worker == "gw1" else 1]:
        with suppress(BackendError), open(folder / f"compile-{dtype}", "w") as lock:
            flock(lock, LOCK_EX)
            train(Network([4, 2], dtype=dtype), data, backend="numba", epochs=1)


@pytest.fixture
def reference() -> Backend:
    return find("numpy")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def data() -> Dataset:
    """Three classes of 5 × 5 pictures, easy to tell apart, of bytes."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (3, 25))

    def split(n: int) -> Split:
        labels = np.arange(n) % 3
        noise = rng.normal(0, 40, (n, 25))
        images = np.clip(centres[labels] + noise, 0, 255).astype(np.uint8)
        return Split(images, labels.astype(np.int64))

    frame = Frame(5, 5, 255, 5)
    return Dataset("blobs", split(150), split(60), ("a", "b", "c"), frame)
