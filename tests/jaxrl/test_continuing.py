"""Going on from what was learnt: what is taken over, what data share, and what fades."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import envs
from agents import AGENTS, dqn
from jaxrl import buffers, updates
from jaxrl.continuing import Faded, beginning, faded, inherited, restarted, retaining
from jaxrl.errors import InputError
from jaxrl.loop import advance, assemble
from jaxrl.offline import offline, shared, stored_data, without_data
from jaxrl.types import Agent, Experiment, Run, Transition, Update, count, memoryless


def steps_of(reward, rows, lanes):
    """Steps [rows, lanes] whose reward is a number, and whose observations are their places."""
    place = jnp.arange(rows * lanes, dtype=jnp.float32).reshape(rows, lanes)
    full = jnp.full((rows, lanes), reward, jnp.float32)
    return Transition(place, full, full, full, full < 0, place, (), jnp.ones_like(full))


def collecting(update, example, new):
    """An experiment of an update alone, to which the same steps are given again and again."""
    init = lambda key: Run(update.init(key, example), (), key, count())

    def step(run):
        learner, metrics = update.apply(run.learner, new, run.key)
        return run._replace(learner=learner), metrics

    return Experiment(init, step)


# Keeps what it was given: [updates, ...] after a scan.
TELL = Update(lambda key, example: (), lambda state, batch, key: (state, batch._asdict()), None)


@pytest.mark.parametrize(("share", "length"), [(0.25, None), (0.5, 2), (1.0, None)])
def test_each_batch_has_exactly_its_share_of_the_data(share, length):
    """In every gradient step, and not as a mean over them; sequences are of one source."""
    update = updates.replay(TELL._replace(read=lambda s: s), 8, 10, 20, length, share)
    data = buffers.init(steps_of(1.0, 30, 2), 30)
    exp = retaining(collecting(update, steps_of(0.0, 8, 2), steps_of(0.0, 4, 2)), data)
    run = jax.jit(exp.init)(jax.random.key(0))
    end, seen = jax.jit(exp.step)(run)
    reward = np.asarray(seen["reward"]).reshape(20, length or 1, 10)
    np.testing.assert_array_equal(reward[:, 0].sum(-1), np.full(20, round(10 * share)))
    assert (reward == reward[:, :1]).all()
    old = np.asarray(seen["obs"]).reshape(reward.shape)[reward == 1]
    assert old.max() > 40 and len(np.unique(old)) > 20  # from all over the data
    np.testing.assert_array_equal(end.learner.data.buffer.words, data.words)
    # One copy outside of the runs does the same.
    apart = shared(exp, stored_data(run, buffers.Retained))
    _, again = apart.step(without_data(run, buffers.Retained))
    np.testing.assert_array_equal(again["obs"], seen["obs"])


def test_without_data_or_without_a_share_batches_are_what_was_collected():
    key, new = jax.random.key(1), steps_of(0.0, 4, 2)
    plain = updates.replay(TELL, 8, 10, 3)
    asking = updates.replay(TELL, 8, 10, 3, None, 0.5)
    first, second = (u.apply(u.init(key, new), new, key)[1]["obs"] for u in (plain, asking))
    np.testing.assert_array_equal(first, second)
    data = buffers.init(new, 4)
    with pytest.raises(InputError, match="takes no share of its batches"):
        retaining(collecting(plain, new, new), data).init(key)
    other = buffers.init(new._replace(extras=new.reward), 4)
    with pytest.raises(InputError, match=r"^The data set holds"):
        retaining(collecting(asking, new, new), other).init(key)


def square(params, target, batch, key):
    return 0.5 * (params["w"] ** 2).sum(), {}


def descent(rule, size=2, follow=None):
    return updates.descend(lambda key: {"w": jnp.ones(size)}, square, rule, follow)


def taught(update, times):
    """The state after some steps on no data."""
    state, key = update.init(jax.random.key(0), ()), jax.random.key(1)
    for _ in range(times):
        state, _ = update.apply(state, (), key)
    return state


def test_parameters_and_moments_are_taken_over_and_schedules_begin_anew():
    falling = optax.adam(optax.linear_schedule(0.1, 0.0, 3))
    base = taught(descent(falling, follow=updates.polyak(0.5)), 3)
    new = inherited(descent(falling, follow=updates.polyak(0.5)).init(jax.random.key(0), ()), base)
    for name in ("params", "target", "step"):
        jax.tree.map(np.testing.assert_array_equal, getattr(new, name), getattr(base, name))
    np.testing.assert_array_equal(new.opt[0].mu["w"], base.opt[0].mu["w"])
    assert new.opt[0].count == 3 and new.opt[1].count == 0
    # The base has no rate left; what goes on from it has all of it.
    assert (
        taught(descent(falling), 4).params["w"] == taught(descent(falling), 3).params["w"]
    ).all()
    after, _ = descent(falling, follow=updates.polyak(0.5)).apply(new, (), jax.random.key(2))
    assert (np.abs(after.params["w"] - base.params["w"]) > 0.05).all()
    # Another optimiser begins anew, and a target begins at the parameters.
    plain = taught(descent(optax.sgd(0.5)), 1)
    fresh = inherited(
        descent(falling, follow=updates.polyak(0.5)).init(jax.random.key(0), ()), plain
    )
    assert fresh.opt[0].count == 0 and fresh.step == 1
    np.testing.assert_array_equal(fresh.target["w"], [0.5, 0.5])


def test_what_does_not_fit_is_named():
    init = lambda size: descent(optax.sgd(0.1), size).init(jax.random.key(0), ())
    with pytest.raises(
        InputError, match=r"its w is float32\[3\], and that of this agent is .*\[2\]"
    ):
        inherited(init(2), init(3))
    renamed = init(2)._replace(params={"v": jnp.ones(2)})
    with pytest.raises(InputError, match=r"its v is float32\[2\], and .* is absent"):
        inherited(init(2), renamed)
    with pytest.raises(InputError, match="has 2 sets of parameters, and this agent has 1"):
        inherited(init(2), (init(2), init(2)))
    with pytest.raises(InputError, match=r"its state is float32\[\], and that of this agent is"):
        inherited(jnp.ones(2), jnp.ones(()))
    assert (inherited(jnp.ones(2), jnp.zeros(2)) == 0).all()  # a table, as a whole


def test_a_number_fades_over_rounds_and_begins_anew():
    """The sum of w (1 - i / 4) over the first four of six rounds; with no rounds, all of it."""
    actor = memoryless(lambda view, obs, key: (obs, ()))

    def make(weight: Any) -> Agent:
        apply = lambda state, batch, key: (state + weight, {})
        return Agent(actor, actor, Update(lambda key, example: jnp.zeros(()), apply, lambda s: s))

    for rounds, total in ((4.0, 2.0 * (1 + 0.75 + 0.5 + 0.25)), (0.0, 12.0)):
        agent = faded(make, 2.0, rounds)
        state = agent.update.init(jax.random.key(0), ())
        for _ in range(6):
            state, _ = agent.update.apply(state, (), jax.random.key(1))
        np.testing.assert_allclose(agent.update.read(state), total)
    learner = descent(optax.sgd(0.1)).init(jax.random.key(0), ())
    assert inherited(Faded(learner, 0), Faded(learner, 9)).rounds == 0


@pytest.mark.parametrize("name", ["cql", "discrete-cql"])
def test_conservatism_fades_only_if_it_is_told_to(name):
    entry = AGENTS[name]
    env = envs.make("Pendulum-v1" if name == "cql" else "chain")
    options = dict(num_envs=2, warmup=2, buffer_size=8, hidden=())
    options |= {"samples": 1} if name == "cql" else {}

    def state(**more):
        setup = assemble(entry.make, env, entry.defaults.replace(**options, **more))
        return jax.eval_shape(setup.experiment.init, jax.random.key(0)).learner

    fading = state(conservatism_steps=8.0)
    assert isinstance(fading, Faded)
    assert jax.tree.structure(state()) == jax.tree.structure(fading.inner)


HP = dqn.Hyperparameters(
    num_envs=3, warmup=12, buffer_size=60, batch_size=8, hidden=(5,), epsilon=0.0,
    epsilon_updates=1.0, updates=1, data_share=0.5,
)  # fmt: skip


def test_the_frozen_policy_warms_up_and_a_rate_of_zero_keeps_it():
    """Two seeds, each from a base of its own, in one program; then what a data set does to it."""
    env = envs.make("chain")
    make = partial(dqn.dqn, optimiser=optax.sgd(0.0))

    @jax.jit
    @jax.vmap
    def life(key):
        k_base, k_new = jax.random.split(key)
        exp = assemble(make, env, HP).experiment
        # Its epsilon has fallen to 0, which is a matter of the gradient steps that are taken over.
        base = advance(exp, exp.init(k_base), 2)[0].learner
        exp = assemble(make, env, HP, base=without_data(base)).experiment
        exp = retaining(exp, base.buffer)
        begun = exp.init(k_new)
        end, _ = advance(exp, begun, 4)
        return base.inner, begun, end

    base, begun, end = life(jax.random.split(jax.random.key(0), 2))
    for state in (begun.learner.inner, end.learner.inner):
        jax.tree.map(np.testing.assert_array_equal, state.params, base.params)
    assert (begun.learner.inner.step == 2).all()
    assert (end.learner.inner.step == 6).all()
    layout = begun.learner.buffer.layout
    compared = 0
    for i in range(2):
        rows = buffers.unpack(begun.learner.buffer.words[i], layout)
        taken = jax.tree.map(lambda x: x[:4].reshape(12, *x.shape[2:]), rows)
        params = jax.tree.map(lambda x, i=i: x[i], base.params)
        values = values_of(params, taken.obs)
        clear = np.ptp(values, axis=-1) > 1e-4  # units that are all at rest leave a tie
        compared += clear.sum()
        np.testing.assert_array_equal(taken.action[clear], values.argmax(-1)[clear])
    assert compared > 8  # of 24
    first, second = (jax.tree.map(lambda x, i=i: x[i], base.params) for i in range(2))
    different = jax.tree.map(lambda x, y: bool((x != y).any()), first, second)
    assert any(jax.tree.leaves(different))


def values_of(params, obs):
    """Values [N, A] of a network of one layer with ReLU, in numpy."""
    layers = jax.tree.leaves(params)
    b2, w2, b1, w1 = (np.asarray(x) for x in layers)  # the head comes first
    return np.maximum(np.asarray(obs) @ w1 + b1, 0) @ w2 + b2


def test_learning_from_other_data_goes_on_from_a_learner():
    env = envs.make("chain")
    hp = HP.replace(warmup=12, buffer_size=12, data_share=0.0)
    agent = assemble(dqn.dqn, env, hp).agent
    one, obs = jnp.zeros((4, 3)), jnp.zeros((4, 3, 10))
    steps = Transition(obs, one.astype(jnp.int32), one, one, one > 0, obs, (), one)
    exp = offline(agent, steps)
    base = exp.init(jax.random.key(5)).learner
    new = beginning(exp, without_data(base)).init(jax.random.key(6)).learner
    jax.tree.map(np.testing.assert_array_equal, new.inner.params, base.inner.params)


def test_critics_begin_anew_after_so_many_batches_and_policies_do_not():
    """Beside momentum by hand: the slope of each parameter is 1, and of a table alone too."""
    rate, momentum, calls, steps = 0.1, 0.9, 3, 6
    rule = optax.sgd(rate, momentum)
    begin = lambda key: {"actor": jnp.float32(0), "critics": jax.random.normal(key)}
    slope = lambda params, target, batch, key: (sum(params.values()), {})
    copied = lambda params, target, step: params
    alone = lambda params, target, batch, key: (params, {})
    update = restarted(updates.descend(begin, slope, rule, copied), calls)
    table = restarted(updates.descend(jax.random.normal, alone, rule), calls)

    def run(update, key):
        k_init, k_steps = jax.random.split(key)
        keys = jax.random.split(k_steps, steps)

        def step(state, key):
            state, _ = update.apply(state, (), key)
            return state, update.read(state)

        return jax.lax.scan(step, update.init(k_init, ()), keys)[1]

    keys = jax.random.split(jax.random.key(0), 4)
    found, own = jax.jit(jax.vmap(lambda k: (run(update, k), run(table, k))))(keys)
    drawn = lambda k: jax.vmap(jax.random.normal)(jax.random.split(jax.random.split(k)[0]))
    first, anew = jax.vmap(drawn)(keys).T
    pace = np.cumsum(momentum ** np.arange(steps))  # of the moves, from rest
    moved = lambda n: rate * pace[:n].sum()
    for i in range(4):
        for t in range(1, steps + 1):
            since = t if t <= calls else t - calls
            start = first[i] if t <= calls else anew[i]
            for value in (found.params["critics"], found.target["critics"], own.params):
                assert value[i, t - 1] == pytest.approx(float(start) - moved(since), abs=1e-4)
            # The policy stays where it was, but its momentum is that of the start.
            before = 0.0 if t <= calls else moved(calls)
            assert found.params["actor"][i, t - 1] == pytest.approx(
                -before - moved(since), abs=1e-4
            )
    np.testing.assert_array_equal(found.step[0], np.arange(1, steps + 1))
    assert np.abs(anew - first).max() > 0.1
    with pytest.raises(InputError, match="calls must be above zero"):
        restarted(TELL, 0)
