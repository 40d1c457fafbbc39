"""Return distributions along trajectories, time first: the mixtures of multi-step learning.

In every function `reward`, `discount` and `last` are [T, ...] as in `jaxrl.returns`, and
distributions are [T, ..., N]. A boundary cuts traces, a truncation bootstraps from its successor,
and the end of the array counts as a truncation. `push` says what a return is: a sum with
`distributions.push`, the worst step with `push_worst`. `compress` brings a distribution [..., *]
back to a number of atoms that does not depend on *, such as `on_support(support)` or `project`
then `decode`; without it all atoms are kept, as many for each step as there are in the trajectory.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import Push, ReturnDistribution, push

Compress = Callable[[ReturnDistribution], ReturnDistribution]


def join(first: ReturnDistribution, second: ReturnDistribution, trace: Array) -> ReturnDistribution:
    """The sum [..., N + M] of a measure [..., N] and `trace` [...] times another [..., M]."""
    second = second._replace(probabilities=trace[..., None] * second.probabilities)
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y], -1), first, second)


def whole(distribution: ReturnDistribution) -> ReturnDistribution:
    """The same distribution, with atoms of the shape of its probabilities."""
    shape = distribution.probabilities.shape
    return distribution._replace(atoms=jnp.broadcast_to(distribution.atoms, shape))


def n_step_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    following: ReturnDistribution,
    n: int,
    push: Push = push,
) -> ReturnDistribution:
    """The distributions [T, ..., N] of n-step returns, shorter where a boundary comes first.

    `following` [T, ..., N] is that of the true successor of each step. Their means are
    `jaxrl.returns.n_step_returns`. Raises an InputError if `n` is not positive.
    """
    require_positive(n=n)
    end = last.at[-1].set(True)[..., None]
    horizon = push(whole(following), reward, discount)  # the return over one step

    def longer(returns: ReturnDistribution, _: None) -> tuple[ReturnDistribution, None]:
        later = jax.tree.map(lambda x: jnp.concatenate([x[1:], x[-1:]]), returns)
        pushed = push(later, reward, discount)
        return jax.tree.map(lambda x, y: jnp.where(end, x, y), horizon, pushed), None

    return jax.lax.scan(longer, horizon, None, n - 1)[0]


def backwards(
    reward: Array,
    discount: Array,
    start: ReturnDistribution,
    trace: Array,
    push: Push,
    compress: Compress | None,
) -> ReturnDistribution:
    """The solution of G_t = push(start_t + trace_t G_{t+1}), for start_t of weight 1 - trace_t."""
    length, atoms = start.atoms.shape[0], start.atoms.shape[-1]

    def insert(t: Array, start: ReturnDistribution, later: ReturnDistribution, trace: Array):
        later = later._replace(probabilities=trace[..., None] * later.probabilities)
        write = lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, t * atoms, x.ndim - 1)
        return jax.tree.map(write, later, start)

    def step(
        later: ReturnDistribution, now: tuple
    ) -> tuple[ReturnDistribution, ReturnDistribution]:
        t, reward, discount, start, trace = now
        if compress is None:
            later = push(insert(t, start, later, trace), reward, discount)
        else:
            later = compress(push(join(start, later, trace), reward, discount))
        return later, later

    # What comes after the end has a trace of 0: any measure of the right shape will do.
    final = jax.tree.map(lambda x: x[-1], start)
    if compress is None:
        initial = jax.tree.map(lambda x: jnp.zeros((*x.shape[:-1], length * atoms), x.dtype), final)
    else:
        initial = jax.tree.map(jnp.zeros_like, compress(final))
    inputs = (jnp.arange(length), reward, discount, start, trace)
    return jax.lax.scan(step, initial, inputs, reverse=True)[1]


def lambda_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    following: ReturnDistribution,
    lam: float | Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Mixtures [T, ..., T * N] of n-step returns with weights (1 - lam) lam^(n - 1).

    `following` [T, ..., N] is that of the true successor of each step. They solve G_t = push((1 -
    lam) following_t + lam G_{t+1}), with `following_t` alone at a boundary and at the end, and
    their means are `jaxrl.returns.lambda_returns`.
    """
    trace = jnp.where(last, 0.0, lam * jnp.ones_like(reward)).at[-1].set(0.0)
    start = whole(following)
    start = start._replace(probabilities=(1 - trace)[..., None] * start.probabilities)
    return backwards(reward, discount, start, trace, push, compress)


def off_policy_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    taken: ReturnDistribution,
    following: ReturnDistribution,
    trace: Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Off-policy targets [T, ..., T * (N + M)] for the actions taken, for any traces c [T, ...].

    `taken` [T, ..., N] is the distribution of (S_t, A_t) and `following` [T, ..., M] that of
    S_{t+1} under the policy to evaluate. They solve G_t = push(following_t + c_{t+1} (G_{t+1} -
    taken_{t+1})), without the bracket at a boundary and at the end: signed measures of weight one,
    whose means are `jaxrl.returns.off_policy_returns`. Every loss here is linear in probabilities
    and takes them; a `compress` must be linear too, so `on_support` fits and quantiles do not.
    Source: Tang et al. (2022).
    """
    after = lambda x: jnp.concatenate([x[1:], x[-1:]])
    trace = jnp.where(last, 0.0, after(trace)).at[-1].set(0.0)
    start = join(whole(following), jax.tree.map(after, whole(taken)), -trace)
    return backwards(reward, discount, start, trace, push, compress)


def retrace_distributions(
    reward: Array,
    discount: Array,
    last: Array,
    taken: ReturnDistribution,
    following: ReturnDistribution,
    ratio: Array,
    lam: float | Array,
    push: Push = push,
    compress: Compress | None = None,
) -> ReturnDistribution:
    """Distributional Retrace(lambda), for importance ratios pi / mu [T, ...] of A_t.

    They are `off_policy_distributions` with the traces lam min(1, ratio). Source: Tang et al.
    (2022), with the traces of Munos et al. (2016), table 1.
    """
    trace = lam * jnp.minimum(1.0, ratio)
    return off_policy_distributions(reward, discount, last, taken, following, trace, push, compress)
