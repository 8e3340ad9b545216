"""The CuPy backend on a stand-in for CuPy: which device, which products, what is freed.

Failures, and what a user is told of them, are tested in `tests/cli/test_faults_gpu.py`;
what a card computes, in every test with the `backend` fixture and in
`tests/cli/test_card.py`.
"""

import os
from pathlib import Path

import pytest
from own_process import printed

FAKE = Path(__file__).parents[1] / "fake_cuda"


def said(code: str, **variables: str) -> list[str]:
    """Return the lines that Python code prints where CuPy is the stand-in."""
    paths = filter(None, [str(FAKE), os.environ.get("PYTHONPATH")])
    return printed(code, PYTHONPATH=os.pathsep.join(paths), **variables).splitlines()


ELSEWHERE = """
from threading import Thread
import cupy, nnx

def train():
    cupy.devices.clear()
    data = nnx.load("digits")
    network = nnx.Network([64, 8, 10])
    result = nnx.train(network, data, backend=one, epochs=1)
    result.network.predict(data.test.images, backend=one)
    print(nnx.evaluate(result.network, data, backend=one).accuracy > 0.1)
    one.from_numpy(data.test.images)
    print(len(cupy.devices) > 50, set(cupy.devices), cupy.cuda.current())

one = nnx.find("cupy", device="cuda:1")
print(one.device, cupy.cuda.current())
other = nnx.find("cupy", device="cuda")
print(other.device, cupy.cuda.current())
thread = Thread(target=train)
thread.start()
thread.join()
"""


def test_everything_is_made_on_the_backend_s_device() -> None:
    """In another thread, whose current device is the first, and after another load."""
    assert said(ELSEWHERE) == [
        "cuda:1 (Stand-in) 1",
        "cuda:0 (Stand-in) 0",
        "True",
        "True {1} 0",
    ]


CARD = """
import cupy, nnx
cupy.cuda.Device.attributes = {
    "CooperativeLaunch": 1, "MaxSharedMemoryPerBlock": 48 * 1024,
    "MaxSharedMemoryPerBlockOptin": 96 * 1024, "KernelExecTimeout": 1,
}
for attribute in "KernelExecTimeout", "CooperativeLaunch", "":
    card = nnx.find("cupy").own_steps.keywords["card"]
    print(card.room, card.time_limited, card.tensor_cores)
    cupy.cuda.Device.attributes.pop(attribute, None)
"""


@pytest.mark.parametrize(
    ("capability", "room", "tensor_cores"),
    [("61", 0, False), ("70", 96 * 1024, False), ("80", 96 * 1024, True)],
)
def test_what_a_card_can_do(capability: str, room: int, tensor_cores: bool) -> None:
    """And one that drives a display, or that has no barriers for a whole launch."""
    assert said(CARD, FAKE_CAPABILITY=capability) == [
        f"{room} True {tensor_cores}",
        f"{room} False {tensor_cores}",
        f"0 False {tensor_cores}",
    ]


FREE = """
import nnx
print(nnx.find("cupy").memory() / 2**20)
print(*(nnx.find("cupy", place=place).device[:6] for place in range(4)))
"""


@pytest.mark.parametrize(("limit", "free"), [("0", 1025.0), (str(2**29), 511.0)])
def test_the_memory_that_arrays_may_take(limit: str, free: float) -> None:
    """With what the pool keeps of former arrays; and cards are taken in turn."""
    in_turn = "cuda:0 cuda:1 cuda:0 cuda:1"
    assert said(FREE, CUPY_GPU_MEMORY_LIMIT=limit) == [str(free), in_turn]


PRODUCTS = """
import cupy, nnx
full, tf32 = nnx.find("cupy"), nnx.find("cupy", precision="tf32")
for backend in full, tf32, full:
    cupy.kinds.clear()
    with backend.scope():
        print(cupy.kinds)
print("TF32" in full.first_run.note, "TF32" in tf32.first_run.note)
"""


@pytest.mark.parametrize("wished", ["0", "1"])
def test_products_are_full_unless_nnx_is_asked(wished: str) -> None:
    """Whatever CUPY_TF32 says, and beside a backend of the other precision."""
    said_of = said(PRODUCTS, CUPY_TF32=wished)
    assert said_of == ["[1]", "[7]", "[1]", "False True"]


FREED = """
import weakref
import cupy, nnx, numpy
from nnx.errors import OutOfMemoryError
backend = nnx.find("cupy")

def step():
    global held
    array = numpy.ones(3)
    held = weakref.ref(array)
    raise cupy.FAULTS["oom"]()

cupy.pool.free_all_blocks = lambda: print("held" if held() is not None else "free")
try:
    with backend.scope():
        step()
except OutOfMemoryError as error:
    print(error)
for raised in ValueError("mine"), nnx.NnxError("mine"), OSError(28, "full"):
    try:
        with backend.scope():
            raise raised
    except Exception as error:
        print(error is raised)
"""


def test_no_memory_is_held_by_the_error_that_says_so() -> None:
    """What a step had made is let go first; other errors come through as they are."""
    assert said(FREED) == [
        "free",
        "out of memory on cuda:0: needs 1.5 GiB, free 1.0 GiB",
        *["True"] * 3,
    ]


WAITS = """
import cupy, nnx, numpy
from nnx.maths import losses, regularization
from nnx.settings import complete
from nnx.training.run import Run

def mask(array):
    raise AssertionError("a mask, whose size the host waits for")

copied = []
asarray = cupy.asarray
def counted(given, *args, **options):
    copied.append(type(given))
    return asarray(given, *args, **options)

cupy.isnan, cupy.asarray = mask, counted
backend = nnx.find("cupy")
xp = backend.xp
x = numpy.asarray([[-2.0, 0.0, 3.0]])
print(regularization.penalty_backward(x, x, 0.5, 0.0, xp=xp))
print(losses.huber(x, 0 * x, huber_delta=1.0, xp=xp)[1])
settings = complete({"class_weights": "balanced", "l1": 1e-4, "epochs": 2})
run = Run(nnx.Network([64, 8, 10]), nnx.load("digits"), settings, backend=backend)
copied.clear()
run.follow()
print(copied.count(tuple), list in copied)
"""


def test_no_step_waits_for_the_device_or_copies_to_it() -> None:
    """L1 and Huber's loss ask for no mask; class weights are moved once."""
    assert said(WAITS) == ["[[-2.5  0.   3.5]]", "[[-1.  0.  1.]]", "1 False"]


COMPILES = """
import time
from dataclasses import replace
import cupy, nnx
from nnx.maths.arrays import map_arrays

take, sizes = cupy.take, set()
def compiled(a, indices, axis):
    if indices.shape not in sizes:
        sizes.add(indices.shape)
        time.sleep(0.5)
    return take(a, indices, axis)

cupy.take = compiled
backend, data = nnx.find("cupy"), nnx.load("digits")
assert len(data.train.labels) % 100
for each in backend, replace(backend, own_steps=None):
    result = nnx.train(
        nnx.Network([64, 8, 10]), data, backend=each, epochs=2, batch_size=100,
        dropout=0.2, momentum=0.9, schedule="cosine",
    )
    print(result.log[0].seconds < 0.5, result.log[0].train_loss)
    weight = result.network.layers[0].weight
    print(weight.tobytes().hex())
"""


def test_compiling_is_over_before_training_is_timed() -> None:
    """Of both sizes of a batch, and without a trace in what is trained."""
    lines = said(COMPILES)
    assert lines[0].startswith("True ")
    assert lines[:2] == lines[2:]
