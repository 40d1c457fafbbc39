"""Many teachers, and one student with a memory that imitates whichever suits the system.

Each teacher knows the parameters of its environment; the student sees none, and must tell them from
what it has seen. It learns from what the teachers would do in the states that it reaches itself.
Source: Eschmann et al. (2025), "RAPTOR: a foundation policy for quadrotor control",
https://arxiv.org/abs/2509.11481; states of the student's own: Ross, Gordon and Bagnell (2011),
https://arxiv.org/abs/1011.0686.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxrl.cloning import bounded_family, cloning_loss
from jaxrl.errors import require_non_negative
from jaxrl.logged import require_one_action
from jaxrl.networks import Network, network
from jaxrl.policies import allowed, policy_family
from jaxrl.rollouts import with_noise
from jaxrl.settings import Recurrent
from jaxrl.types import Actor, Agent, Array, Box, Key, Spec, Transition, Tree
from jaxrl.updates import descend

__all__ = ["Teacher", "distilled", "one_of"]

Teacher = Callable[[Transition], Array]
"""Transitions [..., *] -> the actions [..., *action] of a teacher that may see their signals."""


def one_of(
    act: Callable[[Tree, Tree], Array], teachers: Tree, which: Callable[[Transition], Array]
) -> Teacher:
    """The teacher of each step, among N.

    Args:
      act: (parameters of one teacher, observation [*]) -> its action.
      teachers: parameters [N, ...], such as a vmapped training run leaves them.
      which: transitions [...] -> the place [...] of a teacher, such as a task's number that
        `jaxrl.tasks.tasked` tells as signals.
    """

    def told(batch: Transition) -> Array:
        index = which(batch)
        each = lambda i, obs: act(jax.tree.map(lambda x: x[i], teachers), obs)
        for _ in range(index.ndim):
            each = jax.vmap(each)
        return each(index, batch.obs)

    return told


def distilled(
    spec: Spec,
    teacher: Teacher,
    layers: Recurrent = Recurrent(memory="gru"),
    *,
    noise: float | Array = 0.0,
    optimiser: optax.GradientTransformation | None = None,
    own: Network | None = None,
) -> Agent:
    """A student that imitates `teacher` in the states of its own rollouts [T, B, ...].

    The loss is the mean squared difference of continuous actions in [-1, 1], or minus the
    log-likelihood of discrete ones; gradients go through the whole rollout, from the memory with
    which it began. It explores with `noise`, see `jaxrl.rollouts.with_noise`, and exploits without.
    With the memory "none" it is a student that cannot know which teacher it should imitate, and
    imitates their mean. The optimiser is Adam with a step size of 1e-3 by default; an `own` network
    takes the place of that of `layers`. Raises an InputError if the noise is negative or actions
    are neither discrete nor continuous.
    """
    require_one_action(spec)
    require_non_negative(noise=noise)
    space = spec.action
    family = bounded_family(space) if isinstance(space, Box) else policy_family(space)
    net = network(spec, (family.size,), (0.01,), **vars(layers)) if own is None else own
    kind = "squared-error" if isinstance(space, Box) else "likelihood"

    def policy(outputs: Tree, obs: Tree) -> Any:
        return family.distribution(outputs[0], family.free, allowed(spec, obs))

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        outputs, after = net.step(view.params, memory, obs)
        return policy(outputs, obs).mode(), after, ()

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        memory = jax.tree.map(lambda x: x[0], batch.extras)
        outputs, _ = net.unroll(params, memory, batch.obs, batch.last)
        wanted = batch._replace(action=teacher(batch))
        error = cloning_loss(policy(outputs, batch.obs), wanted, loss=kind)
        total = (batch.weight * error).mean()
        return total, {"imitation_loss": total}

    student = Actor(net.memory, step)
    disturbed = with_noise(student, spec, noise)

    def explore(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        action, after, _ = disturbed.step(view, memory, obs, key)
        return action, after, memory  # what `loss` begins with

    rule = optax.adam(1e-3) if optimiser is None else optimiser
    return Agent(Actor(net.memory, explore), student, descend(net.init, loss, rule))
