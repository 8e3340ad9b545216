"""The settings that a sweep tries next, and their importances, by Optuna."""

from collections.abc import Sequence
from typing import Any

from nnx.sweep import journal
from nnx.sweep.space import Range, Space

LEAST = 10  # trials needed for importances


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
    """Return settings that no trial has had, in Optuna's form.

    They are drawn by the tree-structured Parzen estimator, whose first ten draws are
    random; if it repeats settings, random ones are drawn instead. The result depends
    only on the trials and the seed, not on the process.

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
    """Return each setting's share in the variation of the score, the largest first.

    It is computed by fANOVA from the trials with a score; empty for fewer than ten
    trials, or if all scores are equal.
    """
    optuna = journal.library()
    complete = optuna.trial.TrialState.COMPLETE
    trials = study.get_trials(deepcopy=False, states=[complete])
    if len(trials) < LEAST or len({trial.value for trial in trials}) == 1:
        return {}
    forest = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=forest)
    return {name: float(each) for name, each in shares.items()}
