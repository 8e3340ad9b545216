"""CuPy's fused steps: many in one launch. On a card, or emulated (`tests/cuda_on_cpu`).

Here no step may be plain, whatever the backend would choose.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from usable import usable

from nnx.backend import Backend, find
from nnx.maths.arrays import moved, named_arrays
from nnx.maths.hyperparameters import Distortion
from nnx.maths.shards import ALONE
from nnx.maths.state import State, initial_state
from nnx.verify import parity, rounding
from nnx.verify.cases import PARITY_CASES, Case
from nnx.verify.compare import BOUNDS, errors

pytestmark = pytest.mark.gpu
TF32_BOUND = 0.02  # a number of TF32 has 11 bits
ROOM = 227 * 1024  # bytes of shared memory, as an H100's block may have
# What takes plain steps: see `plan.uncovered`.
PLAIN = ("shards",)
FUSED = [
    case
    for case in PARITY_CASES
    if case.sizes[0] < 784 and not any(name in PLAIN for name, _ in case.options)
]
LARGE = [case for case in PARITY_CASES if case.sizes == (784, 128, 10)]


@pytest.fixture(scope="module")
def fused() -> Backend:
    return _fused("full")


@pytest.fixture(scope="module")
def fused_tf32() -> Backend:
    return _fused("tf32")


@pytest.fixture(scope="module")
def fused_bf16() -> Backend:
    return _fused("bf16")


def _fused(
    precision: str,
    room: int = ROOM,
    *,
    time_limited: bool = False,
    tensor_cores: bool = True,
) -> Backend:
    """Return the backend; room: as far as the card has it."""
    backend = usable("cupy", fused=False)
    import cupy
    from nnx_backends.cupy_gpu import steps
    from nnx_backends.cupy_gpu.self_test import SelfTest
    from nnx_backends.memories import Memories

    device = cupy.cuda.Device()
    room, has_tf32 = min(room, steps.shared_memory(device)), steps.has_tf32(device)
    if precision != "full" and not has_tf32:
        pytest.skip(f"the card has no {precision.upper()}")
    run_steps = partial(
        steps.run_steps,
        plain=_no_plain_steps,
        card=steps.Card(cupy, room, precision, time_limited, tensor_cores and has_tf32),
        memories=Memories(),
        self_test=SelfTest(cupy, precision),
    )
    return replace(backend, own_steps=run_steps)


def _no_plain_steps(*arguments: Any, **options: Any) -> State:
    raise AssertionError("these steps were to be fused")


def _name(case: Case) -> str:
    return case.name


@pytest.mark.sweep
@pytest.mark.parametrize("case", FUSED + LARGE, ids=_name)
def test_parity(fused: Backend, case: Case) -> None:
    """One step, and three of which the last is short, against float64 on NumPy."""
    error = parity.worst_error(parity.problem(case, "float32"), fused)
    assert error <= BOUNDS["float32"]


@pytest.mark.sweep
@pytest.mark.parametrize("case", FUSED[::4], ids=_name)
def test_parity_on_a_small_card(case: Case) -> None:
    """With 99 kB of shared memory, as an RTX has; blocks are of eight warps."""
    error = parity.worst_error(
        parity.problem(case, "float32"), _fused("full", room=99 * 1024)
    )
    assert error <= BOUNDS["float32"]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.sweep] if i % 9 else [])
        for i, case in enumerate(FUSED[::4])
    ],
    ids=_name,
)
@pytest.mark.parametrize("kilobytes", [64, 96])
def test_parity_without_tensor_cores(case: Case, kilobytes: int) -> None:
    """As on a T4 and a V100; blocks are of four and of eight warps."""
    backend = _fused("full", room=kilobytes * 1024, tensor_cores=False)
    error = parity.worst_error(parity.problem(case, "float32"), backend)
    assert error <= BOUNDS["float32"]


@pytest.mark.parametrize("case", [FUSED[0], *LARGE[:1]], ids=_name)
def test_tf32_is_less_exact(fused_tf32: Backend, case: Case) -> None:
    error = parity.worst_error(parity.problem(case, "float32"), fused_tf32)
    assert 10 * BOUNDS["float32"] < error < TF32_BOUND


# Inputs, outputs, images and units before the last layer are different numbers.
ROUNDED = [
    Case((20, 40, 36, 10), "gelu", 13, (("batch_norm", True), ("momentum", 0.9))),
    Case((33, 40, 36, 10), "relu", 13, (("l2", 0.02), ("dropout", 0.3))),
    Case((784, 48, 10), "tanh", 40),
    Case((64, 100, 65, 3), "relu", 100, (("clip_norm", 0.5), ("input_dropout", 0.2))),
    Case((33, 40, 47), "relu", 13),
]


def rounded_factors(case: Case) -> Backend:
    """Return the plain maths with the factors rounded that the launch rounds.

    They are all but bytes, and those of the products with the last layer's weight if it
    has up to 32 outputs.
    """
    inputs, outputs, units = case.sizes[0], case.sizes[-1], case.sizes[-2]
    by_rows = outputs <= 32
    as_bytes = inputs % 4 == 0 and "input_dropout" not in dict(case.options)

    class Factors(np.ndarray[Any, Any]):
        def __matmul__(self, other: Any) -> Any:
            a, b = np.asarray(self), np.asarray(other)
            if not by_rows or b.shape not in ((units, outputs), (outputs, units)):
                b = rounding.rounded(b)
                a = a if as_bytes and inputs in a.shape else rounding.rounded(a)
            return (a.astype(np.float64) @ b).astype(a.dtype).view(Factors)

        def __rmatmul__(self, other: Any) -> Any:
            return np.asarray(other).view(Factors) @ self

    return replace(
        rounding.reference(), from_numpy=lambda array: np.asarray(array).view(Factors)
    )


@pytest.mark.parametrize("case", ROUNDED, ids=_name)
def test_steps_in_bf16_are_those_of_rounded_factors(
    fused_bf16: Backend, case: Case, request: pytest.FixtureRequest
) -> None:
    """And not of others; a card may round a factor the other way here or there."""
    posed = parity.problem(case, "float32")

    def two_steps(backend: Backend) -> Any:
        layers = moved(posed.layers, backend.from_numpy)
        images, order = moved((posed.images, posed.order), backend.from_numpy)
        state = initial_state(layers, posed.hyper, backend.ops)
        after = backend.run_steps(state, images, order, 2, posed.hyper)
        return moved(after.layers, backend.to_numpy)

    exact, expected = two_steps(find("numpy")), two_steps(rounded_factors(case))
    off = max(errors(two_steps(fused_bf16), expected, "float32").values())
    rounds = max(errors(exact, expected, "float32").values())
    emulated = request.config.getoption("emulated")
    assert off < (BOUNDS["float32"] if emulated else rounds / 4) < rounds


RECIPE = Case(
    (20, 33, 7, 3),
    "tanh",
    9,
    (("optimizer", "adam"), ("beta2", 0.99), ("dropout", 0.3), ("ema_decay", 0.9)),
)
NORMALIZED = RECIPE._replace(options=(*RECIPE.options, ("batch_norm", True)))


def _begun(backend: Backend, case: Case = RECIPE) -> tuple[Any, ...]:
    """Return the arguments of `run_steps` for a case's run, but for the count."""
    posed = parity.problem(case, "float32")
    layers = moved(posed.layers, backend.from_numpy)
    state = initial_state(layers, posed.hyper, backend.ops)
    images, order = moved((posed.images, posed.order), backend.from_numpy)
    return state, images, order, posed.hyper


def _bits(backend: Backend, state: State) -> list[bytes]:
    arrays = (array for _, array in named_arrays(state._replace(step=()), ""))
    return [backend.to_numpy(array).tobytes() for array in arrays]


@pytest.mark.parametrize("case", [RECIPE, NORMALIZED], ids=_name)
def test_a_run_is_the_same_however_it_is_cut(fused: Backend, case: Case) -> None:
    """And from a state that no launch has led to, as after a resume."""
    state, images, order, hyper = _begun(fused, case)
    whole = fused.run_steps(state, images, order, 3, hyper)
    one = fused.run_steps(state, images, order, 1, hyper)
    again = fused.run_steps(_copied(fused, one), images, order, 2, hyper)
    further = fused.run_steps(one, images, order, 2, hyper)
    assert _bits(fused, again) == _bits(fused, further) == _bits(fused, whole)


def test_a_card_with_a_display_takes_few_steps_in_a_launch(
    fused: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of an estimator is one call; the system ends a launch of seconds."""
    from nnx_backends.cupy_gpu import steps

    launched, launch = list[int](), steps.in_one_launch

    def counted(state: State, *given: Any, **options: Any) -> State:
        launched.append(given[2])
        return launch(state, *given, **options)

    limited = _fused("full", time_limited=True)
    state, images, order, hyper = _begun(limited)
    for backend in fused, limited:  # tested, in other launches
        backend.run_steps(state, images, order, 0, hyper)
    monkeypatch.setattr(steps, "in_one_launch", counted)
    monkeypatch.setattr(steps, "MOST_OPERATIONS", 5 * steps.OF_BARRIERS // 2)
    after = limited.run_steps(state, images, order, 3, hyper)
    assert launched == [2, 1]
    whole = fused.run_steps(state, images, order, 3, hyper)
    assert launched == [2, 1, 3]
    assert _bits(limited, after) == _bits(fused, whole)


def _copied(backend: Backend, state: State) -> State:
    """Return a state with arrays of its own, none of which memory is known of."""
    host = moved(state, backend.to_numpy)
    copied: State = moved(host, backend.from_numpy)
    return copied


@pytest.mark.parametrize("precision", ["fused", "fused_tf32", "fused_bf16"])
def test_a_number_that_is_none_stays_so(
    precision: str, request: pytest.FixtureRequest
) -> None:
    """A NaN has all bits set on a card, to which none may be added."""
    backend = request.getfixturevalue(precision)
    state, images, order, hyper = _begun(backend)
    first, *others = moved(state.layers, backend.to_numpy)
    weight = first.weight.copy()
    weight.view(np.uint32)[3, 5] = 0x7FFFFFFF
    layers = moved([first._replace(weight=weight), *others], backend.from_numpy)
    after = backend.run_steps(state._replace(layers=layers), images, order, 1, hyper)
    assert np.isnan(backend.to_numpy(after.loss_sum))


@pytest.mark.parametrize("case", [RECIPE, NORMALIZED], ids=_name)
def test_a_state_is_left_as_it_was(fused: Backend, case: Case) -> None:
    state, images, order, hyper = _begun(fused, case)
    one = fused.run_steps(state, images, order, 1, hyper)
    before = _bits(fused, state), _bits(fused, one)
    fused.run_steps(one, images, order, 2, hyper)
    assert (_bits(fused, state), _bits(fused, one)) == before


def test_a_window_shorter_than_a_batch_is_of_its_epoch(fused: Backend) -> None:
    """Distortion is drawn anew in each epoch, which the whole set's size tells."""
    case = Case((16, 5, 3), "tanh", 6, (("augment", Distortion(shift=1.0)),))
    posed = parity.problem(case, "float32")
    layers = moved(posed.layers, fused.from_numpy)
    images, order = moved((posed.images, posed.order[:2]), fused.from_numpy)
    state = initial_state(layers, posed.hyper, fused.ops)
    last = state._replace(step=2 * -(-len(posed.order) // case.batch) - 1)
    plain = find("cupy", fused=False).run_steps
    losses = [
        float(fused.to_numpy(run(last, images, order, 1, posed.hyper).loss_sum))
        for run in (fused.run_steps, plain)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=BOUNDS["float32"])


@pytest.mark.parametrize("kind", ["float32", "float64", "int32"])
def test_pixels_that_are_no_bytes(fused: Backend, kind: str) -> None:
    """Whole fours of them, as many as products read of bytes in place."""
    state, images, order, hyper = _begun(fused)
    others = images._replace(pixels=images.pixels.astype(kind))
    got, expected = (
        moved(fused.run_steps(state, each, order, 3, hyper).layers, fused.to_numpy)
        for each in (others, images)
    )
    assert max(errors(got, expected, "float32").values()) <= BOUNDS["float32"]


def test_chunks_smaller_than_a_batch_share_a_kernel(fused: Backend) -> None:
    """An estimator's `partial_fit` takes chunks of any size; a kernel takes seconds."""
    from nnx_backends.cupy_gpu import steps

    case = Case((16, 5, 3), "tanh", 200, (("batch_norm", True), ("momentum", 0.9)))
    posed = parity.problem(case, "float32")
    layers = moved(posed.layers, fused.from_numpy)
    launched = expected = initial_state(layers, posed.hyper, fused.ops)
    plain, known = find("cupy", fused=False).run_steps, set[int]()
    for n in 64, 33, 50:
        images, order = moved((posed.images, posed.order[:n]), fused.from_numpy)
        # From the last chunk's state, whose memory holds numbers of more images.
        launched = fused.run_steps(launched, images, order, 1, posed.hyper)
        expected = plain(expected, images, order, 1, posed.hyper)
        got, right = (moved(s.layers, fused.to_numpy) for s in (launched, expected))
        off = errors(got, right, "float32")
        assert max(off.values()) <= BOUNDS["float32"]
        known.add(steps._kernel.cache_info().misses)
    assert len(known) == 1


def test_the_way_is_told(fused: Backend) -> None:
    from nnx_backends.cupy_gpu import steps

    state, _, _, hyper = _begun(fused)
    way = partial(find("cupy").first_run.steps, state)
    one, apart = "many steps are one launch", "each operation is a launch of its own"
    assert way(hyper, ALONE) == one
    large, sharded = hyper._replace(batch_size=10**7), hyper._replace(shards=2)
    assert way(large, ALONE) == f"{apart}, because of batches of 10000000"
    area = {"augment": Distortion(shift=1.0), "image_shape": (100, 90)}
    assert way(hyper._replace(**area), ALONE) == (
        f"{apart}, because of distortion of 100 x 90 pixels"
    )
    assert way(sharded, ALONE) == f"{apart}, because of batches in shards"
    two = ALONE._replace(size=2)
    assert way(hyper, two).startswith(f"{one}; other cards are reached ")
    rounds = partial(find("cupy", precision="bf16").first_run.steps, state)
    assert rounds(hyper, ALONE) == (
        f"{one}; {steps.ROUNDED}, but for the last layer's outputs"
    )
    assert rounds(sharded, ALONE).endswith(
        "because of batches in shards; nothing rounded"
    )
    plain = find("cupy", fused=False).first_run.steps
    assert plain(state, hyper, ALONE) == ""
    assert plain(state, hyper, two).startswith("other cards are reached ")


def test_no_steps_change_nothing(fused: Backend) -> None:
    state, images, order, hyper = _begun(fused)
    assert _bits(fused, fused.run_steps(state, images, order, 0, hyper)) == _bits(
        fused, state
    )
