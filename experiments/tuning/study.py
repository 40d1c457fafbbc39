"""What proposes points of a search space and is told their scores: Optuna, in a file."""

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.tuning.space import Choice, Space
from jaxrl.errors import InputError

SEARCHES = ("tpe", "random", "halving", "pbt")


def require_optuna() -> Any:
    """The package optuna, quiet; an InputError says how to install it if it is missing."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "jaxrl tune needs the package optuna: pip install 'jaxrl[tune]'."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def opened(folder: Path, search: str, seed: int) -> Any:
    """The study in `study.log` of a folder, which is made if it is not there.

    A sampler begins anew with each session, at a seed that depends on how much is known.
    """
    optuna = require_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Optuna calls experimental
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
        storage = optuna.storages.JournalStorage(backend)
        study = optuna.create_study(
            storage=storage, study_name="tune", load_if_exists=True, direction="maximize"
        )
        own = seed + len(study.trials)
        if search == "tpe":  # the points of a batch are told of each other as if they were bad
            study.sampler = optuna.samplers.TPESampler(seed=own, constant_liar=True)
        else:
            study.sampler = optuna.samplers.RandomSampler(seed=own)
    return study


def asked(study: Any, space: Space, number: int) -> list[Any]:
    """A batch of trials, of which `point` tells the values."""
    optuna = require_optuna()
    distributions = {
        name: optuna.distributions.CategoricalDistribution([repr(v) for v in entry.values])
        if isinstance(entry, Choice)
        else optuna.distributions.FloatDistribution(entry.low, entry.high, log=entry.log)
        for name, entry in space.items()
    }
    return [study.ask(distributions) for _ in range(number)]


def trials(study: Any, numbers: Sequence[int]) -> list[Any]:
    """The trials of some numbers, such as those that an earlier session had asked for."""
    optuna = require_optuna()
    known = {trial.number: trial for trial in study.trials}
    return [optuna.trial.Trial(study, known[number]._trial_id) for number in numbers]


def point(trial: Any, space: Space) -> dict[str, Any]:
    """The values of a trial by the name of the hyperparameter."""
    return {
        name: next(v for v in entry.values if repr(v) == trial.params[name])
        if isinstance(entry, Choice)
        else float(trial.params[name])
        for name, entry in space.items()
    }


def told(study: Any, trial: Any, score: float, pruned: bool = False) -> None:
    """Tell the score of a trial; one without a finite score has failed."""
    optuna = require_optuna()
    state = optuna.trial.TrialState
    if score != score or abs(score) == float("inf"):
        study.tell(trial, state=state.FAIL)
    elif pruned:
        reported(trial, score, 2**31)
        study.tell(trial, state=state.PRUNED)
    else:
        study.tell(trial, score)


def reported(trial: Any, score: float, step: int) -> None:
    """Report an intermediate score, unless that was done in an earlier session."""
    with warnings.catch_warnings(), contextlib.suppress(ValueError):
        warnings.simplefilter("ignore")
        if score == score:
            trial.report(score, step)


def finished(study: Any) -> list[Any]:
    """The trials that are over, of whatever outcome."""
    return [trial for trial in study.trials if trial.state.is_finished()]


def completed(study: Any) -> list[Any]:
    """The trials that have a score, best first."""
    optuna = require_optuna()
    done = [t for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    return sorted(done, key=lambda trial: -trial.value)
