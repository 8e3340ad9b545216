"""What "auto" is: the one place that names backends."""

# The first of these that is usable, and the last for a short run: it always works, and
# is there at once. A GPU is used only when asked for.
AUTOMATIC = "numba", "numpy"
DEFAULT = AUTOMATIC[-1]  # for what takes no time: prediction, evaluation, checks
