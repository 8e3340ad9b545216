"""The update after a batch: gradient clipping, optimizer, weight decay, averages."""

from typing import NamedTuple

from nnx.maths import regularization
from nnx.maths.arrays import Array, map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.optimizers import OPTIMIZERS
from nnx.maths.state import Parameters, RunningStats, State


class BatchResult(NamedTuple):
    """What is computed from a batch.

    gradients: of the batch's mean loss, in the form of the layers
    loss_sum: ()
    score_sum: as in `State`
    running_stats: of each layer, after the batch
    """

    gradients: Parameters
    loss_sum: Array
    score_sum: Array
    running_stats: tuple[RunningStats | None, ...] = ()


def descend(
    state: State, result: BatchResult, hyper: Hyperparameters, ops: Ops
) -> State:
    """Return the state after the step for a batch with this result.

    hyper: of this step, see `schedules.at_steps`
    """
    gradients = result.gradients
    if hyper.clip_norm > 0.0:
        gradients = regularization.clip_norm(gradients, hyper.clip_norm, xp=ops.xp)
    layers, optimizer_state = _moved(state, gradients, hyper, ops)
    ema = state.ema
    if ema:
        # Polyak and Juditsky, "Acceleration of stochastic approximation by averaging",
        # 1992, with exponentially decaying weights.
        keep = hyper.ema_decay
        ema = map_arrays(lambda a, b: keep * a + (1.0 - keep) * b, ema, layers)
    return State(
        state.step + 1,
        layers,
        state.loss_sum + result.loss_sum,
        state.score_sum + result.score_sum,
        optimizer_state,
        result.running_stats,
        ema,
    )


def _moved(
    state: State, gradients: Parameters, hyper: Hyperparameters, ops: Ops
) -> tuple[Parameters, tuple[Parameters, ...]]:
    """Return the layers and the optimizer's state after a step.

    Weights decay before the optimizer's update (Loshchilov and Hutter,
    arXiv:1711.05101) and are bounded after it; biases are neither.
    """
    direction, xp = OPTIMIZERS[hyper.optimizer].direction, ops.xp
    layers, states = [], []
    for layer, gradient, *memory in zip(
        state.layers, gradients, *state.optimizer_state, strict=True
    ):
        if hyper.weight_decay > 0.0:
            keep = 1.0 - hyper.learning_rate * hyper.weight_decay
            layer = layer._replace(weight=keep * layer.weight)
        moves = [
            direction(slope, arrays, hyper, xp)
            for slope, *arrays in zip(gradient, *memory, strict=True)
        ]
        layer = layer._make(
            [
                ops.update(parameter, move, hyper.learning_rate)
                for parameter, (move, _) in zip(layer, moves, strict=True)
            ]
        )
        if hyper.max_norm > 0.0:
            weight = regularization.max_norm(layer.weight, hyper.max_norm, xp=xp)
            layer = layer._replace(weight=weight)
        layers.append(layer)
        after = zip(*[arrays for _, arrays in moves], strict=True)
        states.append([layer._make(arrays) for arrays in after])
    return layers, tuple(list(each) for each in zip(*states, strict=True))
