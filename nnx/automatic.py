"""The backends behind "auto" and "gpu"; no other place in `nnx` names a backend."""

# "auto" takes the first usable one, but the last one for a short run: it always works
# and needs no compiling. A GPU is used only on request.
AUTOMATIC = "numba", "numpy"
GPU = "cupy"
DEFAULT = AUTOMATIC[-1]  # for short work: prediction, evaluation, checks
# Another backend is loaded only for work that takes the default one this many seconds.
# It is expected to take this share of them; see `backend._passed_up` for compiling.
WORTH_LOADING, SHARE = 1.0, 0.4
# Rough cost for the default backend: seconds per step, and per parameter and sample.
STEP_SECONDS, PARAMETER_SECONDS = 1e-4, 6e-11


def seconds_of(steps: int, samples: int, parameters: int) -> float:
    """Estimate the default backend's seconds for steps that take `samples` in total."""
    return STEP_SECONDS * steps + PARAMETER_SECONDS * samples * parameters
