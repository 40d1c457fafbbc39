"""Uni-O4: PPO on a data set, whose steps a model must approve of, and then online.

Several policies clone the data and are kept apart. Each then climbs PPO's loss at the data's
observations, for actions of its reference and advantages of in-sample values; the reference moves
only where rollouts in a learnt model promise that the policy has become better. The parameters of
the best reference are those of `ppo`, which goes on from them online: `jaxrl train ppo --from`.
Source: Lei et al. (2024), "Uni-O4: unifying online and offline deep reinforcement learning with
multi-step on-policy optimization", https://arxiv.org/abs/2311.03351.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import distrax
import jax
import jax.numpy as jnp
import optax

from agents import ppo
from agents.offline import iql
from jaxrl import buffers, models, values
from jaxrl.cloning import Imitator, within
from jaxrl.continuing import Handed
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.logged import require_one_action
from jaxrl.models.diagnostics import visited_value
from jaxrl.pair_values import pair_values
from jaxrl.settings import Collection, Layers, Optimisation, Passes, Recurrent, Replay
from jaxrl.state_values import state_values
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import (
    Learner,
    descend,
    imagined,
    optimiser_for,
    replayed,
    require_buffer,
    together,
    without_context,
)
from jaxrl.updates.onpolicy import standardised

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of Uni-O4; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, max_gradient_norm=0.5)
    """How the parameters of the policies descend the gradient, and those of the values."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    clip: float = number(0.25, POSITIVE)
    """Distance from 1 at which the ratio of a policy to its reference is clipped."""
    value_coefficient: float = number(0.5, NOT_NEGATIVE)
    """Coefficient of the loss of the state values that PPO goes on with."""
    diversity: float = number(0.1, NOT_NEGATIVE)
    """Weight of the divergence of each cloned policy from the likeliest one."""
    cloning_updates: float = number(2_000.0, POSITIVE)
    """Gradient steps of cloning, before policies improve."""
    expectile: float = number(0.7, FRACTION)
    """Level of the expectile over actions of the state's value, see `iql`."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the model."""
    policies: int = static(4, POSITIVE)
    """Number of policies."""
    horizon: int = static(20, POSITIVE)
    """Steps of the rollouts in the model that judge a policy."""
    rollouts: int = static(128, POSITIVE)
    """Number of rollouts that judge a policy."""
    members: int = static(5, POSITIVE)
    """Number of networks in the ensemble that is the model."""
    elites: int = static(3, POSITIVE)
    """Number of members of least error that are used."""
    model_hidden: tuple[int, ...] = static((200, 200), POSITIVE)
    """Units of each hidden layer of the model."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=100)
    """How stored experience is learnt from; policies are judged after all gradient steps of a
    round."""
    network: Layers = Layers(activation="tanh")
    """The layers of policies and values."""


class Judged(NamedTuple):
    """The state of Uni-O4."""

    inner: Tree
    scores: Array  # [K] of the references, when they were last judged
    best: Handed  # the best reference, with which PPO goes on


Judge = Callable[[tuple[Learner, Tree], Tree, Tree, Key], Array]
"""(views of values and model, N policies, obs [B, *], key) -> scores [N]."""


Accept = Callable[[Array, Array], Array]
"""(scores of references [K], scores of policies [K]) -> whether each reference moves [K]."""


def uni_o4(spec: Spec, hp: Hyperparameters, *, accept: Accept = jnp.less) -> Agent:
    """Policies that clone, then improve by PPO's loss as far as a model approves of it.

    While cloning, policy i of K has the loss, with j(s, a) the policy of the highest pi_j(a | s),

        -log pi_i(a | s) - diversity KL(pi_i(. | s) || pi_j(s, a)(. | s)).

    Then it has that of PPO, for actions of its reference at the data's observations, advantages
    Q - V of IQL and targets V. After each round the reference becomes the policy if the mean of Q
    over states and actions of its rollouts in the model is higher, where what follows a termination
    counts as 0. Both are judged from the same states and with the same critics; `accept` takes the
    place of that comparison. The agent acts by the best reference. Raises an InputError if the
    hyperparameters do not fit each other or the spec, or if observations are not one vector.
    """
    check(spec, hp)
    inside = ppo.Hyperparameters(
        clip=hp.clip, value_coefficient=hp.value_coefficient, entropy_coefficient=0.0,
        network=Recurrent(**vars(hp.network)), critic=values.Critic(), passes=Passes(1, 1),
    )  # fmt: skip
    own = ppo.parts(spec, inside)
    judges = iql.Hyperparameters(
        discount=hp.discount, expectile=hp.expectile, target_rate=hp.target_rate,
        network=hp.network,
    )  # fmt: skip
    critics = iql.learner(spec, judges, policy=nobody(), optimiser=optimiser_for(hp)).update
    taught = pair_values(spec, values.scalar(), judges.ensemble.members, hp.network)
    v = state_values(spec, values.scalar(), **vars(hp.network))
    least = values.ensemble_critic(values.scalar(), judges.ensemble)
    dynamics = models.gaussian_mlp(spec, hp.members, hp.model_hidden)
    rule = optax.adam(hp.model_learning_rate)
    world = models.fitted(dynamics, models.likelihood, rule, hp.elites)

    def worth(view: Learner, obs: Tree, action: Array) -> Array:
        """The least of the critics' values [B] of actions."""
        outputs = taught.outputs(view.target["critics"], obs, within(action))
        return values.mean(least.decode(outputs))

    def drawn(seen: tuple, view: Learner, batch: Transition, key: Key) -> Transition:
        """The batch, with samples [K, 1, B] of the references and whether to clone as extras."""
        judge = seen[0]
        base = v.value(judge.params["value"], batch.obs)

        def sample(params: Tree, key: Key) -> ppo.Sample:
            policy = own.policy(params, batch.obs)
            drawn, log_prob = policy.sample_and_log_prob(seed=key)
            action = cast(Array, drawn)
            advantage = standardised(worth(judge, batch.obs, action) - base, batch.weight)
            chance = jnp.asarray(log_prob)
            row = (batch.obs, action, batch.last, (), chance, advantage, base, batch.weight)
            return jax.tree.map(lambda x: x[None], ppo.Sample(*row))

        samples = jax.vmap(sample)(view.target, jax.random.split(key, hp.policies))
        return batch._replace(extras=(samples, view.step < hp.cloning_updates))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        samples, cloning = batch.extras
        keys = jax.random.split(key, hp.policies)
        climbed, metrics = jax.vmap(own.loss, (0, None, 0, 0))(params, (), samples, keys)
        cloned = cloning_losses(own.policy, params, batch, hp.diversity)
        total = jnp.where(cloning, cloned, climbed).sum()
        metrics = jax.tree.map(jnp.mean, metrics)
        return total, metrics | {"cloning_loss": cloned.mean()}

    def follow(params: Tree, target: Tree, step: Array) -> Tree:
        """References are the policies themselves until the last step of cloning."""
        early = step <= hp.cloning_updates
        return jax.tree.map(lambda x, y: jnp.where(early, x, y), params, target)

    start = lambda key: jax.vmap(own.init)(jax.random.split(key, hp.policies))
    update = descend(start, loss, optimiser_for(hp), follow)
    seen = together(without_context(critics), world)
    update = replayed(imagined(update, seen, drawn), hp)
    act = memoryless(lambda view, obs, key: (within(own.policy(view, obs).sample(seed=key)), ()))
    judge = partial(judged, hp, act, dynamics, worth)
    return Agent(own.explore, own.exploit, approved(update, seen, judge, hp.rollouts, accept))


def cloning_losses(
    policy: Callable[[Tree, Tree], distrax.Distribution],
    params: Tree,
    batch: Transition,
    diversity: float | Array,
) -> Array:
    """The losses [K] of cloning a batch [B, ...] by K policies that are kept apart; see `uni_o4`.

    The likeliest policy has no gradient from the divergences of the others.
    """
    log_prob = lambda own: jnp.asarray(policy(own, batch.obs).log_prob(batch.action))
    dense = jax.vmap(log_prob)(params)  # [K, B]
    first = dense.argmax(0)
    others = fixed(params)

    def apart(own: Tree) -> Array:
        """The divergences [B] of a policy from the likeliest one at each step."""
        mine = policy(own, batch.obs)
        each = jax.vmap(lambda other: cast(Any, mine).kl_divergence(policy(other, batch.obs)))
        return jnp.take_along_axis(each(others), first[None], 0)[0]

    return (batch.weight * (-dense - diversity * jax.vmap(apart)(params))).mean(-1)


def nobody() -> Imitator:
    """A policy that has no parameters and learns nothing, for values alone."""
    none = Actor(lambda size: (), lambda view, memory, obs, key: (obs, memory, ()))
    zero = lambda params, batch, weight, key: jnp.zeros_like(batch.reward)
    return Imitator(lambda key: {}, zero, none, none)


def judged(
    hp: Hyperparameters,
    act: Actor,
    dynamics: models.Dynamics,
    worth: Callable[[Learner, Tree, Array], Array],
    views: tuple[Learner, Tree],
    policies: Tree,
    obs: Tree,
    key: Key,
) -> Array:
    """The scores [N] of N policies by rollouts in the model from the same observations."""
    model = models.dispersed(dynamics, views[1], hp.elites)
    value = partial(worth, views[0])

    def one(params: Tree) -> Array:
        return visited_value(model, act, params, value, obs, key, hp.horizon)

    return jax.vmap(one)(policies)


def approved(
    update: Update, seen: Update, judge: Judge, starts: int, accept: Accept = jnp.less
) -> Update:
    """Move each reference to its policy after a round of `update` if it is judged to be better.

    `seen` is what the values and the model are learnt by; policies are judged from as many
    observations of the data as `starts` says, and `accept` compares their scores.
    """

    def best(learner: Learner, scores: Array) -> Handed:
        params = jax.tree.map(lambda x: x[scores.argmax()], learner.target)
        return Handed(Learner(params, (), (), learner.taken))

    def init(key: Key, example: Transition) -> Judged:
        inner = update.init(key, example)
        learner = inner.inner.inner
        scores = jnp.zeros(jax.tree.leaves(learner.params)[0].shape[0])
        return Judged(inner, scores, best(learner, scores))

    def apply(state: Judged, new: Transition, key: Key) -> tuple[Judged, dict]:
        k_learn, k_start, k_judge = jax.random.split(key, 3)
        inner, metrics = update.apply(state.inner, new, k_learn)
        learner: Learner = inner.inner.inner
        obs = buffers.sample(inner.buffer, k_start, starts).obs
        pairs = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), learner.target, learner.params)
        old, fresh = jnp.split(judge(seen.read(inner.inner.model), pairs, obs, k_judge), 2)
        better = accept(old, fresh)
        pick = lambda x, y: jnp.where(better.reshape(-1, *(1,) * (x.ndim - 1)), x, y)
        learner = learner._replace(target=jax.tree.map(pick, learner.params, learner.target))
        inner = inner._replace(inner=inner.inner._replace(inner=learner))
        scores = jnp.where(better, fresh, old)
        told = {"score": scores.max(), "approved": better.mean()}
        return Judged(inner, scores, best(learner, scores)), metrics | told

    return Update(init, apply, lambda state: state.best.learner)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_one_action(spec)
    check_fields(hp)
    require_buffer(hp)
    words = "uni-o4 begins dreams anywhere in its data: leave buffer_memory at device."
    require(hp.replay.buffer_memory == "device", words)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
