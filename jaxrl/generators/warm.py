"""Plans of several actions that go on from the last plan, instead of from noise."""

import jax
import jax.numpy as jnp

from jaxrl.cloning import within
from jaxrl.errors import require
from jaxrl.generators.generator import Generator
from jaxrl.generators.paths import noised
from jaxrl.generators.policy import GeneratedPolicy
from jaxrl.types import Actor, Array, Key, Tree, select


def refined(
    generator: Generator,
    params: Tree,
    guess: Array,
    noise: Array,
    condition: Tree,
    key: Key,
    passes: int,
) -> Array:
    """Samples [..., *shape] from a guess: noised to where `passes` steps are left, and these taken.

    With S steps in all, the guess [..., *shape] and the noise are mixed at the time
    1 - passes / S. With all S of them, on a path that begins as noise, it is a sample as any other.
    Source: Duan et al. (2025), "Real-time iteration scheme for diffusion policy",
    https://arxiv.org/abs/2508.05396. Raises an InputError unless 0 < passes <= S.

    Examples:
        >>> exact = generators.Denoiser(lambda key: (), lambda params, x, time, given: given)
        >>> flow = generators.generator(exact, (2,), generators.straight(), "data")
        >>> print(generators.refined(flow, (), 0 * x, 0 * x, x, key, passes=2))
        [ 1. -2.]
    """
    require_passes(generator, passes)
    first = generator.steps - passes
    x = noised(generator.path(jnp.asarray(first / generator.steps)), guess, noise)

    def draw(x: Array, now: tuple[Array, Key]) -> tuple[Array, None]:
        mean, deviation = generator.transition(params, x, now[0], condition)
        return mean + deviation * jax.random.normal(now[1], x.shape, x.dtype), None

    index = first + jnp.arange(passes)
    return jax.lax.scan(draw, x, (index, jax.random.split(key, passes)))[0]


def receding(policy: GeneratedPolicy, passes: int) -> Actor:
    """The actor that plans anew in each step, from its last plan, and takes the first action.

    Actions of the policy [H, *action] are plans of H steps. The guess of a plan is the last plan
    without its first action, whose final action is repeated. It is `refined` by a number of
    `passes` and clipped to [-1, 1]. At the start of an episode, and with all passes of the
    generator, plans begin as noise. The actor sees the policy's parameters. Raises an InputError as
    `refined` does.

    Examples:
        >>> from jaxrl.types import Box, Spec
        >>> plans = jnp.ones((8, 2))  # eight steps
        >>> spec = Spec(jax.ShapeDtypeStruct((3,), float), Box(-plans, plans))
        >>> policy = generators.generated_policy(spec)
        >>> actor, params = generators.receding(policy, passes=2), policy.init(key)
        >>> print(actor.step(params, actor.init(4), jnp.zeros((4, 3)), key)[0].shape)
        (4, 2)
    """
    generator = policy.generator
    require_passes(generator, passes)

    def step(view: Tree, memory: tuple, obs: Tree, key: Key) -> tuple[Array, tuple, tuple]:
        plan, begins = memory
        k_noise, k_sample, k_first = jax.random.split(key, 3)
        guess = jnp.concatenate([plan[:, 1:], plan[:, -1:]], 1)
        noise = generator.noise(k_noise, len(plan))
        later = refined(generator, view, guess, noise, obs, k_sample, passes)
        # Episodes begin rarely, and all passes are the cost that is to be saved.
        first = jax.lax.cond(
            begins.any(), lambda: generator.sample(view, noise, obs, k_first), lambda: later
        )
        plan = within(select(begins, first, later))
        return plan[:, 0], (plan, jnp.zeros_like(begins)), ()

    def init(batch_size: int) -> tuple[Array, Array]:
        return jnp.zeros((batch_size, *generator.shape)), jnp.ones(batch_size, bool)

    return Actor(init, step)


def require_passes(generator: Generator, passes: int) -> None:
    """Raise an InputError unless the generator has that many steps."""
    require(
        0 < passes <= generator.steps,
        f"passes must lie between 1 and {generator.steps}, but they are {passes}.",
    )
