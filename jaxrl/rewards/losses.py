"""Losses of preferences between two scores of any kind.

A score is a sum of rewards, minus a regret, alpha log pi, or beta log pi / pi_ref: see
`jaxrl.rewards.segments`. Each loss takes the scores of the first and of the second [N], and labels
[N], the chance that the first is preferred, and returns losses [N].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_fraction, require_known, require_positive
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution

fixed = jax.lax.stop_gradient

PreferenceLoss = Callable[[Array, Array, Array], Array]
"""(scores of the first [N], of the second, labels) -> losses [N]."""


def of_winners(loss: Callable[[Array, Array], Array]) -> PreferenceLoss:
    """The loss whose value for (winner, loser) is given, averaged over who is the winner."""

    def both(first: Array, second: Array, label: Array) -> Array:
        return label * loss(first, second) + (1 - label) * loss(second, first)

    return both


def bradley_terry(
    scale: float | Array = 1.0,
    margin: float | Array = 0.0,
    smoothing: float | Array = 0.0,
    bias: float | Array = 1.0,
) -> PreferenceLoss:
    """The loss -log sigmoid(scale (winner - bias loser) - margin).

    Labels are smoothed to (1 - smoothing) label + smoothing / 2. With beta log pi / pi_ref as
    scores this is DPO (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290), whose optimum is
    pi ~ pi_ref exp(r / beta). A bias below 1 is the conservative loss of Hejna et al. (2024),
    https://arxiv.org/abs/2310.13639; it then has another optimum, also with infinite data. Raises
    an InputError unless the smoothing is in [0, 1] and the scale is above zero.
    """
    require_fraction(smoothing=smoothing)
    require_positive(scale=scale)
    each = of_winners(lambda won, lost: jax.nn.softplus(margin - scale * (won - bias * lost)))
    smooth = lambda label: (1 - smoothing) * label + smoothing / 2
    return lambda first, second, label: each(first, second, smooth(label))


def hinge(scale: float | Array = 1.0) -> PreferenceLoss:
    """The loss max(0, 1 - scale (winner - loser)).

    Its optimum does not depend on how certain a preference is, only on its direction. Source: Zhao
    et al. (2023), "SLiC-HF", https://arxiv.org/abs/2305.10425.
    """
    require_positive(scale=scale)
    return of_winners(lambda won, lost: jax.nn.relu(1 - scale * (won - lost)))


def identity_preference(scale: float | Array = 1.0) -> PreferenceLoss:
    """The loss (winner - loser - 1 / (2 scale))^2 of IPO, for scores log pi / pi_ref.

    Its optimum is pi ~ pi_ref exp(p / scale), where p is the chance that an action is preferred to
    one of the behaviour: it stays near the reference where labels are certain. Source: Azar et al.
    (2024), https://arxiv.org/abs/2310.12036.
    """
    require_positive(scale=scale)
    return of_winners(lambda won, lost: jnp.square(won - lost - 0.5 / scale))


def squared(scale: float | Array = 1.0) -> PreferenceLoss:
    """The loss (scale (first - second) - label)^2 of labels that are differences of rewards.

    For scores log pi / pi_ref its optimum is pi ~ pi_ref exp(r / scale). Source: Gao et al. (2024),
    "REBEL", https://arxiv.org/abs/2404.16767.
    """
    require_positive(scale=scale)
    return lambda first, second, label: jnp.square(scale * (first - second) - label)


def unpaired(
    score: Array,
    label: Array,
    reference: Array,
    scale: float | Array = 1.0,
    desirable: float | Array = 1.0,
    undesirable: float | Array = 1.0,
) -> Array:
    """The loss [N] of KTO, of single scores log pi / pi_ref that are desirable or not.

        desirable (1 - sigmoid(scale (score - z))) with probability label, else
        undesirable (1 - sigmoid(scale (z - score)))

    z [] is a `reference` without gradient, an estimate of KL(pi || pi_ref) that is clipped at 0.
    There is no optimum within: probability flows to actions whose desirable share times its weight
    exceeds the undesirable one. Source: Ethayarajh et al. (2024),
    https://arxiv.org/abs/2402.01306.
    """
    above = jax.nn.sigmoid(scale * (score - fixed(jnp.maximum(reference, 0.0))))
    return label * desirable * (1 - above) + (1 - label) * undesirable * above


def listwise(scores: Array) -> Array:
    """Minus the log-probability [...] of the order of scores [..., K], the best first.

    That of Plackett and Luce: the best is drawn by a softmax, then the second of the rest, and so
    on; of two it is `bradley_terry`.
    """
    rest = jax.lax.cumlogsumexp(scores, axis=scores.ndim - 1, reverse=True)
    return (rest - scores).sum(-1)


def chance_above(first: ReturnDistribution, second: ReturnDistribution) -> Array:
    """The probability [...] that a draw from the first exceeds one from the second; ties are half.

    Its logarithm is the likelihood of a preference between distributions of rewards, which tells
    users who disagree from users who are indifferent. Source: Siththaranjan et al. (2024),
    "Distributional preference learning", https://arxiv.org/abs/2312.08358.
    """
    gap = first.atoms[..., :, None] - second.atoms[..., None, :]
    both = first.probabilities[..., :, None] * second.probabilities[..., None, :]
    return (both * (1 + jnp.sign(gap)) / 2).sum((-2, -1))


LOSSES: dict[str, Callable[..., PreferenceLoss]] = {
    "bradley-terry": bradley_terry,
    "hinge": hinge,
    "identity": identity_preference,
    "squared": squared,
}


def preference_loss(name: str, scale: float | Array = 1.0) -> PreferenceLoss:
    """The loss of a name with a scale; an InputError for a name that is unknown."""
    require_known("preference loss", name, LOSSES)
    return LOSSES[name](scale)
