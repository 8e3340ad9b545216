"""What "auto" and "gpu" are: the one place that names backends."""

# The first of these that is usable, and the last for a short run: it always works, and
# is there at once. A GPU is used only when asked for.
AUTOMATIC = "numba", "numpy"
GPU = "cupy"
DEFAULT = AUTOMATIC[-1]  # for what takes no time: prediction, evaluation, checks
# Seconds of work by the last, from which another is worth loading; and its share of
# them that one is expected to take, which is to make good what it compiles first.
WORTH_LOADING, SHARE = 1.0, 0.4
# What the last takes, roughly: for a step, and for each parameter and sample.
STEP_SECONDS, PARAMETER_SECONDS = 1e-4, 6e-11


def seconds_of(steps: int, samples: int, parameters: int) -> float:
    """Return what so many steps with so many samples in all take by the last."""
    return STEP_SECONDS * steps + PARAMETER_SECONDS * samples * parameters
