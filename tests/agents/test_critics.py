"""Every agent with every family of critics and every statistic: it works, or says what does not."""

import jax
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, assemble
from jaxrl.errors import InputError
from jaxrl.fields import takes
from jaxrl.values import CRITICS, OBJECTIVES, REDUCTIONS, Critic, Objective
from tests.agents.cases import SMALL_REPLAY, entry_of

WITH_CRITICS = [name for name, entry in AGENTS.items() if hasattr(entry.defaults, "critic")]
FRACTIONS = "implicit-quantile"
MEANS = ("scalar", "two-hot", "hl-gauss")
TAKE_FRACTIONS = (
    "dqn.py",
    "munchausen.py",
    "stocked.py",
    "pqn.py",
    "discrete_bcq.py",
    "discrete_cql.py",
)
SMALL = SMALL_REPLAY | dict(
    hidden=(8,), model_hidden=(8,), members=2, elites=1, dreams=2, size=8, groups=2, classes=3,
    rollout_length=4, sequence_length=4, burn_in=1, epochs=1, minibatches=2, simulations=2,
    state_size=8, horizon=2, length=2, held=2, updates=1,
)  # fmt: skip


def place(name):
    """The file of an agent."""
    return AGENTS[name].make.__code__.co_filename.rsplit("/", 1)[1]


def small(name, **options):
    """An agent in a world of its kind, assembled with small networks, and with other options."""
    entry = entry_of(name)
    known = {k: v for k, v in SMALL.items() if takes(entry.defaults, k)}
    if hasattr(entry.defaults, "n_step"):
        known["n_step"] = 1
    if takes(entry.defaults, "buffer_size") and "sequence_length" in known:
        known |= dict(buffer_size=256, warmup=32)
    hp = entry.defaults.replace(**known | options)
    env = worlds[name] = worlds.get(name) or world(entry)
    env = entry.world(env, hp)
    return assemble(entry.maker(env), env, hp)


worlds = {}


def world(entry):
    """Pendulum, or a grid for agents of discrete actions."""
    env = envs.make("Pendulum-v1")
    try:
        seen = entry.world(env, entry.defaults)
        assemble(entry.maker(seen), seen, entry.defaults)
    except InputError:
        return envs.make("gridworld")
    return env


def critic(family):
    """A small critic of a family."""
    return Critic(family, atoms=7)


@pytest.mark.parametrize("name", WITH_CRITICS)
def test_every_family_is_taken_or_refused_when_assembled(name):
    defaults = AGENTS[name].defaults
    default = defaults.objective.statistic if hasattr(defaults, "objective") else "mean"
    refused = {FRACTIONS} if place(name) not in TAKE_FRACTIONS else set()
    refused |= set() if default == "mean" else set(MEANS)
    if name == "beer":
        refused = set(CRITICS) - {"scalar"}
    if hasattr(defaults, "ensemble") and defaults.ensemble.reduction == "truncated":
        refused.add("scalar")  # which has no atoms to leave out
    for family in CRITICS:
        if family in refused:
            with pytest.raises(InputError) as error:
                small(name, critic=critic(family))
            assert "\n" not in str(error.value)
        else:
            small(name, critic=critic(family))
    if hasattr(defaults, "objective"):
        for statistic in OBJECTIVES:
            small(name, critic=critic("categorical"), objective=Objective(statistic))
            for family in MEANS:
                if statistic != "mean":
                    with pytest.raises(InputError, match="choose quantile, categorical"):
                        small(name, critic=critic(family), objective=Objective(statistic))
    if hasattr(defaults, "ensemble") and name != "beer":
        for reduction in REDUCTIONS:
            options = dict(ensemble=defaults.ensemble.replace(reduction=reduction, drop=6))
            small(name, critic=critic("categorical"), **options)
            if reduction == "truncated":
                with pytest.raises(InputError, match="6, but its critics have 1 atoms each"):
                    small(name, critic=critic("scalar"), **options)


VARIANTS = (
    "beer.py", "combo.py", "morec.py", "ravl.py", "repo.py", "sindy.py", "skills.py",
)  # fmt: skip
ONE_OF_EACH_FILE = {place(name): name for name in reversed(WITH_CRITICS)}


@pytest.mark.thorough
@pytest.mark.parametrize("name", [v for k, v in ONE_OF_EACH_FILE.items() if k not in VARIANTS])
def test_what_is_taken_can_be_traced(name):
    """One update, whose shapes fit, of the families whose outputs are built in other ways."""
    families = ["fully-parameterised-quantile", "gaussian"]
    families += [FRACTIONS] if place(name) in TAKE_FRACTIONS else []
    options = [dict(critic=critic(family)) for family in families]
    if hasattr(AGENTS[name].defaults, "ensemble"):
        ensemble = AGENTS[name].defaults.ensemble.replace(reduction="truncated")
        options = [o | dict(ensemble=ensemble) for o in options[1:]]
    for option in options:
        exp = small(name, **option).experiment
        update = lambda key, exp=exp: advance(exp, exp.init(key), 1)
        jax.eval_shape(update, jax.random.key(0))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["sac", "td3", "sequence-sac", "discrete-sac"])
def test_no_setting_of_an_ensemble_is_forgotten(name):
    """Each changes the program; what an agent does not read would leave it as it is."""
    entry = AGENTS[name].defaults
    options = [dict(ensemble=entry.ensemble.replace(**o)) for o in (
        dict(), dict(members=3), dict(subset=1), dict(reduction="average"),
        dict(reduction="truncated", drop=1), dict(reduction="truncated"),
        dict(reduction="lower-confidence"), dict(reduction="lower-confidence", level=2.0),
    )]  # fmt: skip
    options += [dict(actor_period=3)]
    if name != "td3":  # whose actor climbs the first of the critics
        options += [dict(actor_reduction=name) for name in REDUCTIONS if name != "minimum"]
        options += [dict(entropy_backup=False)]
    programs = set()
    for option in options:
        exp = small(name, critic=Critic("quantile", atoms=7), **option).experiment
        learner = jax.eval_shape(exp.init, jax.random.key(0))
        programs.add(str(jax.make_jaxpr(lambda run, exp=exp: advance(exp, run, 1))(learner)))
    assert len(programs) == len(options)
