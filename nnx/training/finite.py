"""Checks that training stays finite, and the error when it does not."""

import math
from typing import Any

from nnx.backend import Backend
from nnx.errors import DivergedError
from nnx.maths.arrays import named_arrays
from nnx.maths.schedules import at_steps
from nnx.training.plan import Plan, Position, epoch_hyper


def first_not_finite(tree: Any, backend: Backend) -> str:
    """Return the name of a tree's first array that is not finite; "" if all are.

    tree: of arrays on the device; the name of a single array is "it"
    """
    xp = backend.xp
    flags = [(name, xp.all(xp.isfinite(a))) for name, a in named_arrays(tree, "")]
    bad = (name[1:] or "it" for name, flag in flags if not backend.to_numpy(flag))
    return next(bad, "")


def check_loss(plan: Plan, position: Position, loss: float, when: str = "") -> None:
    """Refuse a loss that is NaN or infinite.

    when: for the error's message; "": by the position's last step

    Raises:
        DivergedError: the loss is not finite
    """
    if not math.isfinite(loss):
        _refuse(plan, position, f"the loss is {loss}", when)


def check_arrays(plan: Plan, position: Position) -> None:
    """Refuse a position with numbers that are not finite, even if the loss is.

    Raises:
        DivergedError: an array of the position is not finite
    """
    state: Any = position.state
    for tree in state._replace(step=None), position.best:
        if name := first_not_finite(tree, plan.backend):
            _refuse(plan, position, f"{name} is not finite", "")


def _refuse(plan: Plan, position: Position, what: str, when: str) -> None:
    number, hyper = max(position.state.step - 1, 0), plan.hyper
    epoch, step = divmod(number, plan.steps_per_epoch)
    course = epoch_hyper(hyper, position.log[:epoch])
    now = next(at_steps(course, number, 1, plan.steps_per_epoch))
    when = when or f"in epoch {epoch + 1} by step {step + 1}"
    raise DivergedError(
        f"training diverged: {what} {when}, at a learning rate of "
        f"{now.learning_rate:g}; try a learning rate below {hyper.learning_rate:g}, or "
        "smaller initial weights"
    )
