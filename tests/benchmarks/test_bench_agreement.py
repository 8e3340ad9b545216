"""Every implementation trains the same network, and one that does not is found."""

from functools import partial
from importlib import import_module

import numpy as np
import pytest

from nnx.backend import find
from nnx.data.dataset import Dataset
from nnx.maths.arrays import map_arrays
from nnx_benchmarks import agreement, choose, data, measure, rivals
from nnx_benchmarks.agreement import Agreement, Reference
from nnx_benchmarks.nnx_run import NnxTrainer
from nnx_benchmarks.trainer import Implementation, Trainer
from nnx_benchmarks.workloads import RECIPES, Problem, Workload, initial_layers

LIBRARIES = {
    "plain_numpy": "numpy",
    "sklearn_mlp": "sklearn",
    "pytorch": "torch",
    "jax_jit": "jax",
}
GRAPH = "torch_graph"  # what it captures on a card is called again where there is none


def rival(module: str) -> list[Implementation]:
    library = "torch" if module == GRAPH else LIBRARIES[module]
    pytest.importorskip(library, reason="an extra: .[rivals]")
    installed = import_module(f"nnx_benchmarks.rivals.{module}")
    if module == GRAPH:
        again = partial(installed.GraphTrainer, device="cpu", capture=lambda work: work)
        return [Implementation("graph", again, ("float32", "float64"))]
    installed = installed.IMPLEMENTATIONS
    # Compiling PyTorch's takes half a minute, and bench compares it whenever it runs.
    return [i for i in installed if "compiled" not in i.name and not i.bfloat16]


def test_none_is_called_compiled_where_that_is_forbidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch", reason="an extra: .[rivals]")
    eager = import_module("nnx_benchmarks.rivals.torch_eager")
    for value, compiled in ("", True), ("1", False):
        monkeypatch.setenv(eager.NO_COMPILING, value)
        names = " ".join(each.name for each in eager.implementations())
        assert "PyTorch eager" in names
        assert ("compiled" in names) == compiled


@pytest.mark.parametrize("key", ["plain", "bn-dropout"])
def test_what_rounds_factors_is_held_to_what_that_takes(
    key: str, problem: Problem, images: Dataset
) -> None:
    """PyTorch's products in bfloat16, and not as if they were of float32's factors."""
    pytest.importorskip("torch", reason="an extra: .[rivals]")
    installed = import_module("nnx_benchmarks.rivals.pytorch").IMPLEMENTATIONS
    [rounds] = [i for i in installed if i.name == "PyTorch eager bf16"]
    posed = problem if key == "plain" else small(key, images)
    expected = reference(posed, bfloat16=True)
    agreed, trainer = agreement.check(rounds, posed, expected)
    assert trainer is not None, agreed.wrong
    exact, _ = agreement.check(rounds._replace(bfloat16=False), posed, expected)
    assert "off by" in exact.wrong


WANTED: dict[tuple[str, bytes, bool], Reference] = {}  # what several tests ask for


def reference(problem: Problem, *, bfloat16: bool = False) -> Reference:
    key = str(problem.workload), problem.pixels.tobytes(), bfloat16
    if key not in WANTED:
        WANTED[key] = agreement.reference(problem, bfloat16=bfloat16)
    return WANTED[key]


def checked(
    implementation: Implementation, problem: Problem
) -> tuple[Agreement, Trainer | None]:
    return agreement.check(implementation, problem, reference(problem))


def agrees(implementation: Implementation, problem: Problem) -> None:
    agreed, trainer = checked(implementation, problem)
    assert trainer is not None, agreed.wrong
    assert agreed.first is not None
    assert agreed.first < 1e-5
    assert agreed.after_100 is not None
    assert agreed.after_100 < 1e-4
    assert (agreed.float64 is not None) == ("float64" in implementation.dtypes)
    if agreed.float64 is not None:
        assert agreed.float64 < 1e-12


def test_every_rival_has_a_test() -> None:
    assert set(LIBRARIES) == set(rivals.MODULES)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("module", [*LIBRARIES, GRAPH])
def test_rivals_agree(module: str, activation: str, problem: Problem) -> None:
    workload = problem.workload._replace(activation=activation)
    for implementation in rival(module):
        agrees(implementation, problem._replace(workload=workload))


@pytest.mark.parametrize("module", [*LIBRARIES, GRAPH])
def test_rivals_agree_without_a_hidden_layer(module: str, problem: Problem) -> None:
    workload = Workload((784, 10), "relu", 32)
    for implementation in rival(module):
        agrees(implementation, problem._replace(workload=workload))


def small(key: str, images: Dataset) -> Problem:
    """Return a recipe with a network and batches that are soon trained."""
    workload = RECIPES[key]._replace(sizes=(784, 16, 11, 10), batch_size=32)
    return data.problem(workload, images.train)


@pytest.mark.parametrize("key", RECIPES)
@pytest.mark.parametrize("module", ["pytorch", GRAPH, "jax_jit"])
def test_rivals_train_the_same_recipe(module: str, key: str, images: Dataset) -> None:
    problem = small(key, images)
    compared = problem._replace(workload=problem.workload.without_draws)
    expected, clipped = reference(problem), "clip_norm" in compared.workload[-1]
    error = agreement.float64_error(rival(module)[-1], compared, expected)
    assert error is not None
    assert error < (agreement.CLIPPED if clipped else 1e-11)


@pytest.mark.parametrize("module", ["pytorch", GRAPH, "jax_jit"])
def test_compared_without_dropout_and_timed_with_it(
    module: str, images: Dataset
) -> None:
    problem = small("bn-dropout", images)
    agreed, trainer = checked(rival(module)[-1], problem)
    assert trainer is not None, agreed.wrong
    assert agreed.float64 is not None
    assert agreed.after_100 is not None
    assert agreed.after_100 < 1e-3
    losses = []
    for _ in range(2):
        trainer.load(initial_layers(problem.workload))
        order = measure.order(problem, epoch=0)
        losses.append([trainer.epoch(order, 0.0) for _ in range(2)])
    assert losses[0][0] != losses[0][1]
    if module == "jax_jit":  # a second epoch, that is timed, compiles nothing
        assert losses[0] == losses[1]
        assert trainer.steps._cache_size() == 1  # type: ignore[attr-defined]


def test_a_wrong_recipe_is_found(images: Dataset, numpy: Implementation) -> None:
    def prepare(problem: Problem) -> Trainer:
        options = {**problem.workload.options, "beta2": 0.998}
        workload = problem.workload._replace(options=options)
        return numpy.prepare(problem._replace(workload=workload))

    wrong = numpy._replace(prepare=prepare)
    agreed, trainer = checked(wrong, small("gelu", images))
    assert trainer is None
    assert agreed.wrong.startswith("disagrees: ")


def test_who_knows_plain_sgd_alone_has_no_row_of_a_recipe(images: Dataset) -> None:
    chosen = choose.implementations("numpy", ["plain_numpy"], print)
    names = [implementation.name for implementation in chosen]
    assert list(measure.check_all(small("gelu", images), chosen, print)) == names[:1]
    assert list(measure.check_all(small("large", images), chosen, print)) == names


def test_groups_of_workloads() -> None:
    assert set(choose.workloads(["recipes", "tiny"])) == {*RECIPES, "tiny"}
    assert not set(choose.workloads(["all"])) & set(RECIPES)


def test_workloads_drawn_at_random() -> None:
    """They are the same each time, as results that are written down are of them."""
    drawn = choose.workloads(["drawn"])
    assert str(drawn["drawn-1"]) == "784-205-393-10, silu, batch 17, dropout 0.2"
    assert len(drawn) == 10
    for workload in drawn.values():
        first, *widths, last = workload.sizes
        assert (first, last) == (784, 10)
        assert 1 <= len(widths) <= 5
        assert all(width % 2 for width in widths)
        assert 8 <= workload.batch_size <= 2048


def test_backends_agree(problem: Problem) -> None:
    ours = choose.implementations("all", (), print)
    assert "nnx numpy" in {implementation.name for implementation in ours}
    for implementation in ours:
        agrees(implementation, problem)


def test_images_near_a_kink_are_left_out(problem: Problem) -> None:
    workload = problem.workload._replace(activation="relu")
    dark = np.zeros_like(problem.pixels)  # all hidden units at 0, the kink itself
    dark[::2] = problem.pixels[::2]
    expected = reference(problem._replace(workload=workload, pixels=dark))
    assert len(expected.index) == workload.batch_size
    assert (expected.index % 2 == 0).all()


def test_a_batch_is_taken_that_no_rounding_brings_over_a_kink(images: Dataset) -> None:
    """Whatever the order of its images, NumPy in float32 ends near float64."""
    problem = small("bn-adam", images)
    workload = problem.workload._replace(
        sizes=(784, 300, 300, 10), batch_size=64, learning_rate=0.03
    )
    expected = reference(problem._replace(workload=workload))
    trainer = NnxTrainer(problem._replace(workload=workload), find("numpy"))
    layers = initial_layers(workload)
    rounding = [
        agreement._largest_first_error(trainer, workload, layers, begun)
        for begun in (
            agreement._begun(trainer, workload, map_arrays(np.float64, layers), i)
            for i in range(agreement.BATCHES)
        )
    ]
    assert expected.rounding[0] == min(rounding) < max(rounding)


def changed(implementation: Implementation, **methods: object) -> Implementation:
    """Return an implementation whose trainers have some methods of their own."""

    def prepare(problem: Problem) -> object:
        trainer = implementation.prepare(problem)
        return type("Changed", (type(trainer),), methods)(problem, trainer.backend)

    return implementation._replace(prepare=prepare)


def test_a_wrong_gradient_is_found(problem: Problem, numpy: Implementation) -> None:
    def epoch(self, order, learning_rate):
        return super(type(self), self).epoch(order, 1.0001 * learning_rate)

    agreed, trainer = checked(changed(numpy, epoch=epoch), problem)
    assert trainer is None
    assert agreed.wrong.startswith("disagrees: loss and gradients off by 1.0e-04")


def test_a_wrong_loss_is_found(problem: Problem, numpy: Implementation) -> None:
    def epoch(self, order, learning_rate):
        return super(type(self), self).epoch(order, learning_rate) + np.nan

    agreed, trainer = checked(changed(numpy, epoch=epoch), problem)
    assert trainer is None
    assert agreed.wrong.startswith("disagrees: loss and gradients off by nan")


def test_leaving_out_a_short_batch_is_found(
    problem: Problem, numpy: Implementation
) -> None:
    def epoch(self, order, learning_rate):
        whole = len(order) - len(order) % 32
        return super(type(self), self).epoch(order[:whole], learning_rate)

    agreed, trainer = checked(changed(numpy, epoch=epoch), problem)
    assert trainer is None
    assert agreed.wrong.startswith("disagrees: weights after 100 steps")


def test_one_that_fails_is_named_with_its_reason(problem: Problem) -> None:
    def fail(problem: Problem) -> None:
        raise RuntimeError("no compiler\nand much more")

    agreed, trainer = checked(Implementation("broken", fail), problem)
    assert trainer is None
    assert agreed.wrong == "failed: no compiler"


def test_random_bytes_have_no_accuracy(workload: Workload) -> None:
    assert data.accuracy([], workload, data.random_bytes(10)) is None
