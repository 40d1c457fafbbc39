"""Agents run as people debug them: without compilation, with checks for NaN, and in x64."""

import jax
import pytest

import envs
from agents import AGENTS
from jaxrl import assemble
from jaxrl.fields import takes
from tests.agents.test_keys import CONTINUOUS, TINY

MODES = {
    "ppo": dict(memory="gru", sequence_length=2, normalise_observations=True),
    "rainbow": dict(n_step=1),  # a fold over no further steps
    "q-lambda": {},
}


def assembled(name, **options):
    """A tiny experiment, and a function from its run to an evaluated action."""
    entry = AGENTS[name]
    hp = entry.defaults.replace(**{k: v for k, v in TINY.items() if takes(entry.defaults, k)})
    hp = hp.replace(**options)
    env = entry.world(envs.make("Pendulum-v1" if name in CONTINUOUS else "chain"), hp)
    setup = assemble(entry.maker(env), env, hp)

    def act(run, key):
        view, memory = setup.agent.update.read(run.learner), setup.agent.exploit.init(2)
        return setup.agent.exploit.step(view, memory, run.world[1].obs, key)[0]

    return setup.experiment, act


@pytest.mark.parametrize("name", MODES)
def test_a_run_without_compilation(name):
    few = {k: 2 for k in ("rollout_length", "warmup") if takes(AGENTS[name].defaults, k)}
    experiment, act = assembled(name, **few | MODES[name])
    with jax.disable_jit():
        run, metrics = experiment.step(experiment.init(jax.random.key(0)))
        assert act(run, jax.random.key(1)).shape[0] == 2
    assert all(jax.numpy.isfinite(x) for x in metrics.values())


@pytest.mark.parametrize(
    "name",
    [
        "ppo", "r2d2", "iqn", "tqc", "q-lambda", "beer", "proto-value", "bc", "iql", "awac", "crr",
        "rebrac", "cal-ql", "discrete-cql", "bcq", "discrete-bcq", "rvs", "a2pr",
        "bisimulation-cql", "icvf",
    ],
)  # fmt: skip
def test_a_program_of_double_precision(name):
    """Traced, which is where types that do not match are found."""
    with jax.enable_x64(True):
        experiment, act = assembled(name, **MODES.get(name, {}))
        life = lambda key: experiment.step(experiment.step(experiment.init(key))[0])[0]
        jax.eval_shape(lambda key: act(life(key), key), jax.random.key(0))
