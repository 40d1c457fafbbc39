"""Self-supervised objectives on processes whose every pair is known, beside numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl import representations as reps
from jaxrl.errors import InputError
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition

LINEAR = Layers(())


def spec_of(states, actions=2):
    return Spec(jax.ShapeDtypeStruct((states,), jnp.float32), Discrete(actions))


def steps_of(states, actions, after, weight, size):
    """Sequences [K, B, ...] of one-hot states, from the states and successors [K, B]."""
    ones = np.ones(np.shape(states))
    see = lambda x: jnp.asarray(np.eye(size)[x], jnp.float32)
    weights = jnp.asarray(ones * weight, jnp.float32)
    return Transition(
        see(states), jnp.asarray(actions, jnp.int32), jnp.asarray(ones), jnp.asarray(ones),
        jnp.asarray(ones < 0), see(after), (), weights,
    )  # fmt: skip


def every_pair(joint):
    """All pairs of states as one batch, each with its probability as a weight."""
    size = len(joint)
    x, y = (z.reshape(1, -1) for z in np.meshgrid(range(size), range(size), indexing="ij"))
    return steps_of(x, 0 * x, y, joint.reshape(1, -1), size)


def with_kernel(params, kernel, name="Dense_0"):
    """The parameters of one linear layer, without a bias."""
    layer = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(np.shape(kernel)[-1])}
    found = {"params": {name: layer}}
    found = params | {"network": found} if "network" in params else found
    assert jax.tree.structure(found) == jax.tree.structure(params)
    return found


def process(rng, size):
    joint = rng.dirichlet(np.ones(size))[:, None] * rng.dirichlet(np.ones(size), size)
    return joint, (joint * np.log(joint / joint.sum(1, keepdims=True) / joint.sum(0))).sum()


def test_the_optimum_of_a_contrast_is_the_log_ratio_and_the_information():
    """One-hot features and the log ratio as the head; nothing near is better."""
    rng, size = np.random.default_rng(0), 4
    encoder = reps.encoder(spec_of(size), size, LINEAR)
    pretext = reps.temporal_contrast(encoder, layers=LINEAR)
    key = jax.random.key(0)

    @jax.jit
    def judged(joint, ratio, changes):
        batch = every_pair_of(joint)
        own = with_kernel(jax.eval_shape(encoder.init, key), np.eye(size))

        def loss(change):
            kernel = jnp.concatenate([ratio + change, jnp.zeros((1, size))])  # of one gap
            heads = with_kernel(jax.eval_shape(pretext.init, key), kernel)
            return pretext.loss(own, own, heads, batch, key)

        at = jax.vmap(loss)(changes)
        return loss(jnp.zeros((size, size))), jax.grad(loss)(jnp.zeros((size, size))), at

    def every_pair_of(joint):
        blank = every_pair(np.ones((size, size)))
        return blank._replace(weight=joint.reshape(1, -1))

    contrast = jax.jit(reps.information_noise_contrast)
    contrasts = jax.jit(
        lambda *x: (reps.information_noise_contrast(*x), reps.symmetric_contrast(*x))
    )
    told = jax.jit(reps.mutual_information)
    for _ in range(5):
        joint, information = process(rng, size)
        ratio = np.log(joint / joint.sum(1, keepdims=True) / joint.sum(0))
        at, slope, near = judged(joint, ratio, rng.normal(size=(50, size, size)))
        assert at == pytest.approx(-information, abs=1e-5)
        np.testing.assert_allclose(slope, 0, atol=1e-5)
        assert (near > at).all()
        # One direction allows any constant of the query; the other one does not.
        x, y = np.indices((size, size)).reshape(2, -1)
        free = (ratio + 3 * np.arange(size)[:, None])[x[:, None], y[None, :]]
        weight = joint.reshape(-1)
        one, both = contrasts(free, weight)
        assert one == pytest.approx(-information, abs=1e-5) and both > one + 0.1
        assert told(joint) == pytest.approx(information, abs=1e-5)
    # In a plain batch it is the softmax cross-entropy less log B; no weight is no loss.
    scores, ones = rng.normal(size=(6, 6)), np.ones(6)
    plain = (np.log(np.exp(scores).sum(1)) - np.diag(scores)).mean()
    assert contrast(scores, ones) == pytest.approx(plain - np.log(6), abs=1e-5)
    assert contrast(scores, 0 * ones) == 0
    with pytest.raises(InputError, match="Scores must be"):
        reps.information_noise_contrast(scores[:3], ones)


def test_the_optimum_of_a_contrast_of_actions_knows_what_they_lead_to():
    """Where log p(y | s, a) is a sum over s and a up to a constant of both, heads are linear."""
    S, A, rng = 4, 3, np.random.default_rng(1)
    u, v = rng.normal(size=(S, S)), 2 * rng.normal(size=(A, S))
    kernel = np.exp(u[:, None] + v)
    joint = kernel / kernel.sum(-1, keepdims=True) / S / A
    following = joint.sum((0, 1))
    information = (joint * np.log(joint * S * A / following)).sum()
    s, a, y = (x.reshape(1, -1) for x in np.indices((S, A, S)))
    batch = steps_of(s, a, y, joint.reshape(1, -1), S)
    spec = spec_of(S, A)
    encoder = reps.encoder(spec, S, LINEAR)
    pretext = reps.action_contrast(encoder, spec, 1, LINEAR, tokens=A)
    key = jax.random.key(0)
    heads = jax.eval_shape(pretext.init, key)

    @jax.jit
    def judged(changes):
        own = with_kernel(jax.eval_shape(encoder.init, key), np.eye(S))
        token, query, answer = heads
        told = with_kernel(token, np.eye(A)), with_kernel(answer, np.eye(S))

        def loss(change):
            asked = with_kernel(query, jnp.concatenate([u, v]) + change)
            asked["params"]["Dense_0"]["bias"] = -jnp.log(following)
            return pretext.loss(own, own, (told[0], asked, told[1]), batch, key)

        return loss(jnp.zeros((S + A, S))), jax.vmap(loss)(changes)

    at, near = judged(rng.normal(size=(50, S + A, S)))
    assert at == pytest.approx(-information, abs=1e-5) and (near > at).all()
    of_states = joint.sum(1)
    alone = (of_states * np.log(of_states * S / following)).sum()
    assert information > alone + 0.1  # the actions tell the rest


def test_features_that_predict_themselves_collapse_unless_the_target_is_fixed():
    """With the best linear model the gradient of half of the loss turns features; the whole shrinks
    them: the derivative along their scale is twice the loss."""
    S, D, rng = 6, 3, np.random.default_rng(2)
    spec = spec_of(S, 1)
    encoder = reps.encoder(spec, D, LINEAR)
    pretext = reps.self_prediction(encoder, spec, 1, LINEAR)
    key = jax.random.key(0)

    @jax.jit
    def slopes(weight, phi, model):
        batch = every_pair(np.ones((S, S)))._replace(weight=weight.reshape(1, -1))
        heads = with_kernel(jax.eval_shape(pretext.init, key), model)
        of = lambda x: with_kernel(jax.eval_shape(encoder.init, key), x)
        half = lambda x: pretext.loss(of(x), of(phi), heads, batch, key)
        whole = lambda x: pretext.loss(of(x), of(x), heads, batch, key)
        return half(phi), jax.grad(half)(phi), jax.grad(whole)(phi)

    for _ in range(10):
        joint, _ = process(rng, S)
        phi = rng.normal(size=(S, D))
        share = joint.sum(1)
        inputs = np.sqrt(share)[:, None] * np.concatenate([phi, np.ones((S, 1))], 1)
        model = np.linalg.lstsq(inputs, joint @ phi / np.sqrt(share)[:, None], rcond=None)[0]
        loss, half, whole = slopes(joint, phi, model)
        np.testing.assert_allclose(phi.T @ half, 0, atol=1e-4)
        assert (phi * whole).sum() == pytest.approx(2 * float(loss), rel=1e-3)
        assert loss > 0.01


def ring(length):
    """All walks of `length` steps left and right on a ring of 9, as states and actions."""
    start, *moves = np.indices((9, *(2,) * length)).reshape(length + 1, -1)
    moves = np.array(moves)
    after = (start + np.cumsum(2 * moves - 1, 0)) % 9
    return np.concatenate([start[None], after[:-1]]), moves, after


def test_one_step_tells_too_little_of_a_ring_and_three_tell_more():
    """The least loss of an inverse model is the entropy of the action, given both features.

    Features of the state modulo 3 tell every action from one step, though they confuse states
    that are three steps apart. From walks of up to 3 steps they tell less than
    the states themselves.
    """
    features = {"modulo 3": np.eye(9)[np.arange(9) % 3], "state": np.eye(9)}

    def entropy(names, steps):
        states, moves, after = ring(steps)
        total = 0.0
        for k in range(steps):
            seen = np.stack([names[states[0]], names[after[k]], moves[0]], 1)
            (_, number), alone = np.unique(seen, axis=0, return_counts=True), seen[:, :2]
            pair = np.array([(alone == row[:2]).all(1).sum() for row in np.unique(seen, axis=0)])
            total -= (number / len(seen) * np.log(number / pair)).sum() / steps
        return total

    assert entropy(np.arange(9) % 3, 1) == 0 == entropy(np.arange(9), 1)
    assert entropy(np.arange(9) % 3, 3) > entropy(np.arange(9), 3) + 0.05
    encoder = reps.encoder(spec_of(9), 9, LINEAR)
    pretext = reps.inverse_dynamics(encoder, spec_of(9), 3, Layers((48,)))
    batch = steps_of(*ring(3), 1.0, 9)

    @jax.jit
    @jax.vmap
    def fitted(kernel):
        key = jax.random.key(0)
        own = with_kernel(jax.eval_shape(encoder.init, key), kernel)
        loss = lambda heads, key: pretext.loss(own, own, heads, batch, key)
        rule = optax.adam(optax.cosine_decay_schedule(2e-2, 800))

        def step(carry, key):
            heads, opt = carry
            change, opt = rule.update(jax.grad(loss)(heads, key), opt)
            return (optax.apply_updates(heads, change), opt), None

        heads = pretext.init(key)
        (heads, _), _ = jax.lax.scan(step, (heads, rule.init(heads)), jax.random.split(key, 800))
        return jax.vmap(lambda key: loss(heads, key))(jax.random.split(key, 400)).mean()

    found = fitted(jnp.asarray(np.stack(list(features.values()))))
    wanted = [entropy(names, 3) for names in (np.arange(9) % 3, np.arange(9))]
    np.testing.assert_allclose(found, wanted, atol=0.025)


def test_pairs_stay_within_an_episode():
    """By loops, and that gaps are even; an episode's end is followed by its own successor."""
    rng, steps, lanes = np.random.default_rng(3), 3, 50
    states, after = rng.integers(0, 9, (2, steps, lanes))
    batch = steps_of(states, states % 2, after, 1.0, 9)
    last = rng.random((steps, lanes)) < 0.3
    batch = batch._replace(last=jnp.asarray(last))
    every = jax.jit(jax.vmap(lambda key: reps.pairs(batch, key)))
    found = jax.tree.map(np.asarray, every(jax.random.split(jax.random.key(0), 40)))
    gap = np.asarray(found.gap).argmax(-1)
    for i in range(40):
        for lane in range(lanes):
            k = gap[i, lane]
            assert found.later[i, lane].argmax() == after[k, lane]
            assert found.weight[i, lane] == (not last[:k, lane].any())
            assert found.now[i, lane].argmax() == states[0, lane]
    np.testing.assert_allclose(np.bincount(gap.reshape(-1)) / gap.size, 1 / 3, atol=0.06)


def test_losses_are_those_of_numpy():
    """Forward models, reconstruction, rewards and joint embeddings with known linear heads."""
    rng, S, steps, B = np.random.default_rng(4), 5, 2, 7
    spec = spec_of(S)
    states, after = rng.integers(0, S, (2, steps, B))
    moves = rng.integers(0, 2, (steps, B))
    batch = steps_of(states, moves, after, 1.0, S)
    batch = batch._replace(
        reward=jnp.asarray(rng.normal(size=(steps, B)), jnp.float32),
        last=jnp.zeros((steps, B), bool).at[0, 0].set(True).at[0, 1].set(True),
        discount=jnp.ones((steps, B)).at[0, 1].set(0.0),
    )
    encoder = reps.encoder(spec, 3, LINEAR)
    phi = rng.normal(size=(S, 3))
    key = jax.random.key(1)
    own = with_kernel(jax.eval_shape(encoder.init, key), phi)
    pair = jax.jit(reps.pairs)(batch, key)
    gap, alive = np.asarray(pair.gap), np.asarray(pair.weight)
    taken = np.eye(2)[moves]  # [K, B, A]
    here, there = phi[states[0]], phi[after]

    def mean(error, weight):
        return pytest.approx((weight * error).sum() / weight.sum(), rel=1e-4)

    known = np.stack([taken[0], taken[1] * gap[:, 1:]], 1).reshape(B, -1)
    inputs = np.concatenate([here, gap, known], 1)
    tried = {
        "forward": (reps.forward_dynamics(encoder, spec, steps, LINEAR), (3 + 2 + 4, S)),
        "video": (reps.forward_dynamics(encoder, spec, steps, LINEAR, actions=False), (3 + 2, S)),
        "autoencoder": (reps.autoencoder(encoder, spec, LINEAR), (3, S)),
        "embedding": (reps.joint_embedding(encoder, steps, LINEAR), (3, 6)),
        "reward": (reps.reward_prediction(encoder, spec, 0.9, steps, LINEAR), (3 + 4, 1)),
        "chunks": (reps.action_chunks(encoder, spec, steps, LINEAR), (3, 4)),
    }
    kernels = {name: rng.normal(size=size) for name, (_, size) in tried.items()}

    @jax.jit
    def losses(kernels):
        def one(pretext, kernel):
            heads = with_kernel(jax.eval_shape(pretext.init, key), kernel)
            return pretext.loss(own, own, heads, batch, key)

        return {name: one(pretext, kernels[name]) for name, (pretext, _) in tried.items()}

    found = losses(kernels)
    later = np.eye(S)[after[gap.argmax(1), np.arange(B)]]
    assert found["forward"] == mean(np.square(inputs @ kernels["forward"] - later).mean(1), alive)
    told = inputs[:, :5] @ kernels["video"]
    assert found["video"] == mean(np.square(told - later).mean(1), alive)
    error = np.square(here @ kernels["autoencoder"] - np.eye(S)[states[0]]).mean(1)
    assert found["autoencoder"] == mean(error, np.ones(B))
    both = np.ones((steps, B))
    both[1, :2] = 0
    told = (here @ kernels["embedding"]).reshape(B, steps, 3).swapaxes(0, 1)
    assert found["embedding"] == mean(np.square(told - there).sum(-1), both)
    # A cut sequence tells nothing of later rewards; after a termination there are none.
    reward, counts = np.asarray(batch.reward), np.ones(B)
    paid = reward[0] + 0.9 * reward[1] * both[1]
    told = np.concatenate([here, taken.swapaxes(0, 1).reshape(B, -1)], 1) @ kernels["reward"]
    counts[0] = 0
    assert found["reward"] == mean(np.square(told[:, 0] - paid), counts)
    logits = (here @ kernels["chunks"]).reshape(B, 2, 2)
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chance = (chance * taken.swapaxes(0, 1)).sum(-1)
    assert found["chunks"] == mean(-np.log(chance).sum(1), both[1])
    for make in (reps.forward_dynamics, reps.inverse_dynamics, reps.action_chunks):
        with pytest.raises(InputError, match="steps must be above zero"):
            make(encoder, spec, 0)
