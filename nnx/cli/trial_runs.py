"""The runs of a sweep's trials, made from what all of them share."""

from collections.abc import Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nnx.cli import begin, sweep_results
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.data.dataset import Dataset, Split
    from nnx.network import Network
    from nnx.sweep.space import Space
    from nnx.sweep.trials import Trial
    from nnx.training.run import Run

# Before the first trial, at most PAIRS pairs of values are checked, with IMAGES images.
PAIRS, IMAGES = 500, 10


class UntrainableError(InputError):
    """A trial's settings contradict each other, the network or the data."""


class TrialRuns(NamedTuple):
    """What all trials share, and the runs that are made from it.

    values: the settings that are not searched, as given
    trained: the network that all trials begin with, or None for new ones
    options: of the backend
    threads: as for `Run`
    """

    values: dict[str, Any]
    space: "Space"
    data: "Dataset"
    trained: "Network | None"
    options: dict[str, Any]
    threads: int | None

    def checked_metric(self) -> str:
        """Return the trials' metric; InputError if their settings do not fit the data.

        Each value, and each of many pairs, is checked with the data and a network.
        """
        from nnx.sweep.space import covering, ends

        small = self._replace(data=_few(self.data))
        # With a trained network, all have its layers, which may be large.
        pairs = islice(covering(self.space, 2), 0 if self.trained else PAIRS)
        for chosen in chain(covering(self.space, 1), pairs):
            try:
                small._run(_narrow(self._with(chosen)))
            except InputError as error:
                which = sweep_results.in_words(chosen)
                raise InputError(f"{error}; in the combination {which}") from None
        for chosen in ends(self.space):
            run = self._run(self._with(chosen))
        return run.plan.metric

    def of(self, trial: "Trial", seed: int) -> "Run":
        """Return a trial's run with this seed, resumed if it was interrupted.

        Raises:
            UntrainableError: no run can have the trial's settings
            InputError: other settings make no run either, or its folder cannot be used
        """
        from nnx.sweep.space import ends
        from nnx.training.folder import can_resume, load_settings

        folder = trial.runs[seed]
        if can_resume(folder):
            # The backend may be another machine's own choice.
            own = {
                **load_settings(folder),
                "backend": self.values.get("backend", "auto"),
            }
            return self._run(own, folder, resume=True)
        own = self._with({**trial.settings, "seed": seed})
        try:
            return self._run(own, folder, overwrite=True)
        except InputError as error:
            if self._fits(own) or not self._fits(self._with(ends(self.space)[0])):
                raise
            raise UntrainableError(str(error)) from None

    def config(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of a settings file for a trial with these settings."""
        from nnx.settings import as_text, layered
        from nnx.training.data import described

        return as_text(layered({}, self._with(settings) | described(self.data)))

    def _with(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        from nnx.settings import layered

        return layered(self.values, settings)

    def _run(
        self, values: dict[str, Any], folder: Path | None = None, **how: Any
    ) -> "Run":
        how |= {"trained": self.trained, "threads": self.threads}
        return begin.run(values, self.data, folder, self.options, **how)

    def _fits(self, values: dict[str, Any]) -> bool:
        """Return whether a run can have these settings."""
        try:
            self._run(values)
        except InputError:
            return False
        return True


def _few(data: "Dataset") -> "Dataset":
    """Return the data with a few images in each part, for quick checks of settings."""

    def few(part: "Split") -> "Split":
        return part._replace(images=part.images[:IMAGES], labels=part.labels[:IMAGES])

    validation = data.validation and few(data.validation)
    return data._replace(
        train=few(data.train), test=few(data.test), validation=validation
    )


def _narrow(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings with one unit in each hidden layer, for quick checks of them."""
    from nnx.settings import complete

    return {**values, "hidden": [1] * len(complete(values)["hidden"])}
