"""What a sweep tries next, and what mattered in what it tried, by Optuna."""

from collections.abc import Sequence
from typing import Any

from nnx.sweep import journal
from nnx.sweep.space import Range, Space

LEAST = 10  # trials that say what mattered


def kinds(space: Space) -> dict[str, Any]:
    """Return Optuna's distribution of each setting."""
    of = journal.library().distributions

    def kind(each: Any) -> Any:
        if not isinstance(each, Range):
            return of.CategoricalDistribution(list(each))
        number = of.IntDistribution if each.whole else of.FloatDistribution
        step = {} if each.step is None else {"step": each.step}
        return number(each.low, each.high, log=each.log, **step)

    return {name: kind(each) for name, each in space.items()}


def proposed(space: Space, trials: Sequence[Any], seed: int) -> dict[str, Any]:
    """Return settings that none of the trials has, as Optuna has them.

    They are what the tree-structured Parzen estimator draws, of which the first ten are
    random; where that comes upon settings again, random ones. They follow from the
    trials and the seed alone, in whatever process.

    trials: of the study so far; fewer than the space has combinations
    """
    optuna, former = journal.library(), [trial.params for trial in trials]
    ways, seed = kinds(space), (seed + len(trials)) % 2**32
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(trials)
    while (params := study.ask(ways).params) in former:
        if study.sampler is sampler:
            study.sampler = optuna.samplers.RandomSampler(seed)
    return dict(params)


def importances(study: Any) -> dict[str, float]:
    """Return each setting's share in how the score varies, the most first.

    By fANOVA, of the trials with a score; of fewer than ten, or of equal ones, nothing.
    """
    optuna = journal.library()
    complete = optuna.trial.TrialState.COMPLETE
    trials = study.get_trials(deepcopy=False, states=[complete])
    if len(trials) < LEAST or len({trial.value for trial in trials}) == 1:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=forest)
    return {name: float(each) for name, each in shares.items()}
