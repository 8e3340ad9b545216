"""Batches in shards: the same bits however many processes compute them."""

import numpy as np
import pytest
from distributed.processes import together

from nnx.backend import Backend, find
from nnx.maths import evaluation
from nnx.maths.arrays import Array, map_arrays, named_arrays
from nnx.maths.hyperparameters import Distortion, Hyperparameters
from nnx.maths.shards import Communicator, blocks_of_shard, own_shards, summed, tree_sum
from nnx.maths.state import Images, State, initial_state
from nnx.network import Network

PLAIN = Hyperparameters(("relu", "tanh", "identity"), 1 / 255, 24, learning_rate=0.1)
RECIPES = {
    "sgd": PLAIN,
    "adam-dropout": PLAIN._replace(
        optimizer="adam", momentum=0.9, beta2=0.999, dropout=0.3, input_dropout=0.1
    ),
    "batch-norm-augment": PLAIN._replace(
        batch_norm=True,
        augment=Distortion(shift=1.0, rotation=10.0),
        image_shape=(6, 6),
        input_noise=0.1,
    ),
    "all": PLAIN._replace(
        optimizer="momentum",
        momentum=0.9,
        batch_norm=True,
        dropout=0.2,
        l1=1e-4,
        l2=1e-3,
        clip_norm=0.5,
        max_norm=2.0,
        label_smoothing=0.1,
        class_weights=(1.0, 2.0, 0.5),
        ema_decay=0.9,
    ),
}
IMAGES = 100  # so that an epoch's last batch is of 4: fewer than there are shards


def _trained(
    name: str, hyper: Hyperparameters, processes: int, dtype: str = "float32"
) -> list[State]:
    """Return the state of each process after an epoch and a half."""
    rng = np.random.default_rng(3)
    images = Images(
        rng.integers(0, 256, (IMAGES, 36)).astype(np.uint8), rng.integers(0, 3, IMAGES)
    )
    network = Network((36, 17, 9, 3), ("relu", "tanh"), seed=1, dtype=dtype)

    def work(communicator: Communicator) -> State:
        backend = find(name)
        if hyper.shards > 1:
            backend = backend.in_shards(communicator)
        with backend.scope():
            state = initial_state(network.layers, hyper, backend.ops)
            for count in 2, 3, 2:  # an epoch has five
                order = np.random.default_rng(state.step // 5).permutation(IMAGES)
                count = min(count, 5 - state.step % 5)
                state = backend.run_steps(state, images, order, count, hyper)
            return state

    return together(processes, work)


def _bytes(state: State) -> dict[str, bytes]:
    return {
        name: np.asarray(array).tobytes()
        for name, array in named_arrays(state._replace(step=None), "state")
    }


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_any_number_of_processes_gives_the_same_bits(name: str, recipe: str) -> None:
    hyper = RECIPES[recipe]._replace(shards=12)
    once = _bytes(_trained(name, hyper, 1)[0])
    for processes in 2, 3, 4, 12:
        for state in _trained(name, hyper, processes):
            assert _bytes(state) == once, processes


@pytest.mark.parametrize(
    ("name", "recipe"),
    [*(("numpy", recipe) for recipe in RECIPES), ("numba", "adam-dropout")],
)
def test_shards_change_nothing_but_rounding(name: str, recipe: str) -> None:
    hyper = RECIPES[recipe]
    (whole,) = _trained("numpy", hyper, 1, "float64")
    (state,) = _trained(name, hyper._replace(shards=5), 1, "float64")
    assert int(state.score_sum) == int(whole.score_sum)
    map_arrays(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12),
        state._replace(step=None),
        whole._replace(step=None),
    )


def test_blocks_of_large_shards_are_normalized_over_all_shards() -> None:
    """Two shards of 1500 images are two blocks each: 1024 and 476 of each shard."""
    assert blocks_of_shard(1, 2, 3000) == [slice(1500, 2524), slice(2524, 3000)]
    # The larger shard has one image more than a block, and all have two blocks.
    assert blocks_of_shard(0, 2, 2049) == [slice(0, 1024), slice(1024, 1024)]
    assert blocks_of_shard(1, 2, 2049) == [slice(1024, 2048), slice(2048, 2049)]


@pytest.mark.parametrize("shards", [1, 2, 6, 7, 12, 16])
def test_sums_do_not_depend_on_who_adds(shards: int) -> None:
    parts = list(np.random.default_rng(shards).normal(size=(shards, 50)) ** 9)
    once = tree_sum(parts)
    for processes in (n for n in range(1, shards + 1) if shards % n == 0):

        def work(communicator: Communicator) -> Array:
            own = [parts[i] for i in own_shards(shards, communicator)]
            return summed(own, communicator)

        for result in together(processes, work):
            assert result.tobytes() == once.tobytes()


def test_a_test_set_is_shared_out_and_scored_alike(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2500, 12)).astype(np.uint8)
    labels = rng.integers(0, 3, 2500)
    network = Network((12, 5, 3), "relu", seed=1)
    hyper = Hyperparameters(("relu", "identity"), 1 / 255, 10, shards=4)

    def work(communicator: Communicator) -> list[bytes]:
        shared = backend.in_shards(communicator)
        images = Images(*map(shared.from_numpy, (pixels, labels)))
        layers = map_arrays(shared.from_numpy, network.layers)
        sums = evaluation.evaluate(layers, images, hyper, shared.ops)
        return [np.asarray(shared.to_numpy(each)).tobytes() for each in sums]

    once = work(Communicator())
    for processes in 2, 4:  # of three blocks: the fourth has none
        assert together(processes, work) == [once] * processes
