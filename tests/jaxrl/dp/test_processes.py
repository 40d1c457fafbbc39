"""Processes made of processes: options, automata and beliefs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp, values
from tests.jaxrl.dp.cases import bellman, random_arrays, three_arrays

GAMMA = 0.9


def test_option_models_are_sums_over_their_durations():
    """Against the series in numpy, and against running the options step by step."""
    arrays = random_arrays(4, 5, 2)
    p, r, d, _ = arrays
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(2), (3, 5))
    ends = rng.uniform(0.2, 1, (3, 5))
    with jax.enable_x64(True):
        mdp = dp.from_arrays(*arrays)
        options = dp.Options(jnp.asarray(policy), jnp.asarray(ends))

        @jax.jit
        def run(mdp, options):
            model = dp.option_models(mdp, options, GAMMA)
            process = dp.call_and_return(mdp, options)
            both = dp.Options(*(
                jnp.concatenate(pair) for pair in zip(options, dp.primitive(mdp))
            ))  # fmt: skip
            tight = partial(dp.value_iteration, tolerance=1e-13)
            return (
                model,
                tight(model, 1.0).theta,
                tight(process, GAMMA).theta,
                tight(dp.option_models(mdp, both, GAMMA), 1.0).theta.max(1),
                tight(mdp, GAMMA).theta.max(1),
                process.transition.sum(-1),
            )

        found = run(mdp, options)
    model, planned, stepwise, mixed, best, total = jax.tree.map(np.asarray, found)
    for o in range(3):
        kernel = np.einsum("sa,sat->st", policy[o], GAMMA * p * d)
        paid = np.einsum("sa,sat,sat->s", policy[o], p, r)
        reward, flow, left = np.zeros(5), np.zeros((5, 5)), np.eye(5)
        for _ in range(400):
            reward += left @ paid
            flow += left @ kernel * ends[o]
            left = left @ kernel * (1 - ends[o])
        np.testing.assert_allclose(model.reward[:, o, 0], reward, atol=1e-10)
        np.testing.assert_allclose(model.discount[:, o] * model.transition[:, o], flow, atol=1e-10)
    np.testing.assert_allclose(total, 1, atol=1e-12)
    np.testing.assert_allclose(stepwise.reshape(5, 4, 3)[:, 0], planned, atol=1e-9)
    # While an option runs, no choice matters.
    running = stepwise.reshape(5, 4, 3)[:, 1:]
    np.testing.assert_allclose(running, np.repeat(running[..., :1], 3, -1), atol=1e-9)
    np.testing.assert_allclose(mixed, best, atol=1e-9)  # with the actions nothing is lost
    assert (planned.max(1) <= best + 1e-9).all() and (planned.max(1) < best - 1e-3).any()
    with pytest.raises(ValueError, match="need policies"):
        dp.option_models(dp.from_arrays(*arrays), dp.Options(np.ones((1, 5, 3)), ends), 0.9)


def test_the_law_of_an_option_s_return():
    """An option of a random duration pays 1 a step until it ends: a geometric law."""
    one = np.ones((1, 1, 1))
    mdp = dp.from_arrays(one, one[..., 0], one, np.ones(1))
    options = dp.Options(jnp.ones((1, 1, 1)), jnp.full((1, 1), 0.25))
    family = values.categorical(values.uniform_support(0.0, 40.0, 41))

    @jax.jit
    def run():
        process = dp.call_and_return(mdp, options)
        # The episode ends where the option does: what follows a choice is not to be counted.
        after = jnp.asarray(process.successors) != 0
        process = process._replace(discount=process.discount * after)
        law = dp.distributional_value_iteration(process, 1.0, family, tolerance=1e-6).theta
        return family.decode(law[0, 0]).probabilities

    exact = 0.25 * 0.75 ** np.arange(40)
    np.testing.assert_allclose(run()[1:20], exact[:19], atol=1e-4)


def test_a_reward_machine_pays_for_order():
    """First state 2, then state 0: against brute force over histories of four steps."""
    p, _, d, _ = three_arrays()
    labels = np.array([1, 0, 2])  # of the states that are entered
    # State 0 waits for label 2, state 1 for label 1, which pays 1; state 2 is done.
    to = np.array([[0, 0, 1], [1, 2, 1], [2, 2, 2]])
    pay = np.zeros((3, 3))
    pay[1, 1] = 1
    machine = dp.Automaton(jnp.asarray(to), jnp.asarray(pay), jnp.ones((3, 3)))
    mdp = dp.from_arrays(p, np.zeros((3, 2)), d, np.eye(3)[1])

    @jax.jit
    def run(mdp):
        product = dp.automaton_product(mdp, machine, jnp.asarray(labels))
        ending = machine._replace(discount=1.0 - jnp.asarray(pay))
        stopped = dp.automaton_product(mdp, ending, jnp.asarray(labels))
        plain = dp.automaton_product(
            mdp._replace(reward=mdp.reward + 1), machine, jnp.asarray(labels), own=2.0
        )
        finite = dp.finite_horizon(product, 4)[0]
        return finite, dp.finite_horizon(stopped, 4)[0], dp.finite_horizon(plain, 4)[0], product

    finite, stopped, plain, product = jax.tree.map(np.asarray, run(mdp))

    def brute(s, u, steps):
        """The best chance to be paid, by recursion on what was seen."""
        if steps == 0:
            return 0.0
        worth = [pay[u, labels[n]] + brute(n, to[u, labels[n]], steps - 1) for n in range(3)]
        return max(p[s, a] @ worth for a in range(2))

    exact = np.array([brute(s, u, 4) for s in range(3) for u in range(3)])
    np.testing.assert_allclose(finite.max(1), exact, atol=1e-6)
    np.testing.assert_allclose(stopped.max(1), exact, atol=1e-6)
    np.testing.assert_allclose(plain.max(1), exact + 8, atol=1e-5)
    assert product.initial.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="reads the labels 0 to 2"):
        dp.automaton_product(mdp, machine, jnp.array([0, 1, 3]))
    with pytest.raises(ValueError, match="Labels are of states"):
        dp.automaton_product(mdp, machine, jnp.array([0, 1]))


def tiger(accuracy=0.85):
    """Listen, or open one of two doors behind one of which is a tiger, as ever after."""
    p = np.zeros((2, 3, 2))
    p[:, 0] = np.eye(2)
    p[:, 1:] = 0.5
    r = np.array([[-1.0, -100.0, 10.0], [-1.0, 10.0, -100.0]])
    seen = np.full((3, 2, 2), 0.5)
    seen[0] = [[accuracy, 1 - accuracy], [1 - accuracy, accuracy]]
    return dp.from_arrays(p, r, np.ones(p.shape), np.full(2, 0.5)), seen


def test_beliefs_against_the_tree_of_histories():
    mdp, seen = tiger()
    p, r = (np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward))
    found = dp.belief_process(mdp, seen, depth=4)

    def history(belief, steps):
        """The best value of an unnormalised belief, whatever was seen before."""
        if steps == 0:
            return 0.0
        best = -np.inf
        for a in range(3):
            value = belief @ (p * r).sum(-1)[:, a]
            for o in range(2):
                value += history((belief @ p[:, a]) * seen[a, :, o], steps - 1)
            best = max(best, value)
        return best

    for steps in (1, 2, 3, 4):
        value = np.asarray(dp.finite_horizon(found.process, steps)[0, 0]).max()
        np.testing.assert_allclose(value, history(np.full(2, 0.5), steps), atol=1e-4)
    assert len(found.beliefs) == 9  # the difference of what was heard, -4 to 4
    assert found.expanded.sum() == 7 and found.beliefs[0].tolist() == [0.5, 0.5]


def test_beliefs_of_what_is_seen_or_ends():
    """Where the state is seen, beliefs are states; a process that may end keeps its values."""
    arrays = random_arrays(6, 3, 2, end=0.4)
    start = np.eye(3)[0]
    mdp = dp.from_arrays(*arrays[:3], start)
    seen = np.broadcast_to(np.eye(3), (2, 3, 3))
    found = dp.belief_process(mdp, seen, depth=5)
    assert found.expanded.all() and len(found.beliefs) == 3
    value = np.asarray(dp.value_iteration(found.process, GAMMA, tolerance=1e-6).theta)
    exact = np.zeros((3, 2))
    for _ in range(400):
        exact = bellman(*arrays[:3], GAMMA, exact.max(1))
    hidden = found.beliefs.argmax(1)
    np.testing.assert_allclose(value, exact[hidden], atol=1e-3)
    with pytest.raises(ValueError, match="must be >= 0 and sum to 1"):
        dp.belief_process(mdp, np.ones((2, 3, 3)), 1)
    with pytest.raises(ValueError, match="Observations need probabilities"):
        dp.belief_process(mdp, np.ones((3, 3)), 1)
