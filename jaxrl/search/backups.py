"""Tree search whose nodes hold return distributions, backed up exactly over chance.

The tree is a finite process that grows: its states are nodes, and the backup of a node is that of
`jaxrl.dp`, in any representation, for any statistic and under any mixture of successors.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.dp.operator import Mix
from jaxrl.errors import require_non_negative, require_positive
from jaxrl.models.chance import ChanceModel
from jaxrl.types import Array, Tree
from jaxrl.values import Representation, Statistic, mean, scalar, take

Judge = Callable[[Tree], tuple[Array, Array]]
"""Observations [B, *] -> prior logits [B, A] and outputs [B, K] of the representation."""


class Backups(NamedTuple):
    """The result of a search with exact backups."""

    action: Array  # [B] the best one
    value: Array  # [B] its statistic
    theta: Array  # [B, A, K] return distributions of all actions at the root


class Node(NamedTuple):
    """The nodes of a tree: M of them, of which N are expanded."""

    state: Tree  # [M, *]
    theta: Array  # [M, K] return distribution from here on
    prior: Array  # [M, A] logits
    parent: Array  # [M] -1 at the root
    first: Array  # [M] the first of its A * C children in a row, 0 if it is not expanded
    visits: Array  # [M]
    open: Array  # [M] bool, whether there is something to expand from here on
    transition: Array  # [N, A, C]
    reward: Array  # [N, A, C]
    discount: Array  # [N, A, C]


def backup_search(
    simulations: int,
    representation: Representation | None = None,
    statistic: Statistic = mean,
    mix: Mix = dp.mixed,
    exploration: float | Array = 1.25,
) -> Callable[..., Backups]:
    """Search with full backups of return distributions, in a model whose chance is known.

    Each simulation walks from the root, by PUCT on values scaled to [0, 1] among siblings and by
    the outcome of the largest p / (1 + visits), to a node that it expands by all its actions and
    outcomes. Then every node on the way has

        theta(n) = theta(n, a) for the a of the best statistic, theta(n, a) = project(mix over
        outcomes of reward + discount * Z(child)),

    which is `dp.backup` on the tree. With the defaults that is expectimax. With `dp.nested(S)` as
    `mix` the tree optimises the nested measure of S; with a `statistic` and a representation of
    distributions it holds the law of the return of the policy that is greedy in it. Parts of the
    tree that have ended are not visited again, so that as many simulations as there are states of
    a finite tree make it exact.

    The result is a function (chance model, judge, (states, observations), discount, mask=None),
    where `judge` gives the prior and the return distributions of leaves. Actions without prior
    probability are not allowed. It is deterministic. Memory is that of 1 + simulations * A * C
    nodes. Source: the full backups of Keller and Helmert (2013), "Trial-based heuristic tree search
    for finite horizon MDPs". Raises an InputError if a number does not fit.
    """
    require_positive(simulations=simulations)
    require_non_negative(exploration=exploration)
    family = scalar() if representation is None else representation

    def search(
        model: ChanceModel,
        judge: Judge,
        root: tuple[Tree, Tree],
        discount: float | Array,
        mask: Array | None = None,
    ) -> Backups:
        logits = judge(root[1])[0]
        mask = jnp.ones(logits.shape, bool) if mask is None else mask
        prior = jnp.where(mask, logits, -jnp.inf)

        def one(lane: tuple) -> Array:
            state, obs, prior = lane
            tree = _planted(model, judge, family, (state, obs), prior, simulations)
            simulate = lambda i, tree: _simulate(
                tree, i, model, judge, family, statistic, mix, discount, exploration
            )
            tree = jax.lax.fori_loop(0, simulations, simulate, tree)
            return _backup(tree, jnp.int32(0), family, mix)

        theta = jax.vmap(one)((*root, prior))
        scores = jnp.where(_possible(prior), statistic(family.decode(theta)), -jnp.inf)
        return Backups(scores.argmax(-1), scores.max(-1), theta)

    return search


def _possible(prior: Array) -> Array:
    """Which actions [..., A] have a prior probability."""
    return jax.nn.softmax(prior) > 0


def _planted(
    model: ChanceModel,
    judge: Judge,
    family: Representation,
    root: tuple[Tree, Tree],
    prior: Array,
    simulations: int,
) -> Node:
    """Return a tree with nothing but its root, and place for all nodes."""
    state, obs = jax.tree.map(lambda x: x[None], root)
    actions = prior.shape[0]
    outcomes = jax.eval_shape(model.decide, state, jnp.zeros(1, jnp.int32))[1].shape[-1]
    number = 1 + simulations * actions * outcomes
    theta = judge(obs)[1]
    room = lambda x: jnp.zeros((number, *x.shape[1:]), x.dtype).at[:1].set(x)
    edges = jnp.zeros((simulations, actions, outcomes), theta.dtype)
    none = jnp.zeros(number, jnp.int32)
    return Node(
        jax.tree.map(room, state), room(theta), room(prior[None]), none - 1, none, none,
        jnp.zeros(number, bool).at[0].set(True), edges, edges, edges,
    )  # fmt: skip


def _children(tree: Node, node: Array) -> Array:
    """The indices [A, C] of the children of an expanded node."""
    _, actions, outcomes = tree.transition.shape
    return tree.first[node] + jnp.arange(actions * outcomes).reshape(actions, outcomes)


def _edges(tree: Node, node: Array) -> tuple[Array, Array, Array]:
    """Probabilities, rewards and discounts [A, C] of the edges from an expanded node."""
    _, actions, outcomes = tree.transition.shape
    place = (tree.first[node] - 1) // (actions * outcomes)
    return tree.transition[place], tree.reward[place], tree.discount[place]


def _backup(tree: Node, node: Array, family: Representation, mix: Mix) -> Array:
    """The outputs [A, K] of the actions at an expanded node."""
    children = _children(tree, node)
    row = dp.TabularMDP(
        *(x[None] for x in _edges(tree, node)),
        initial=jnp.ones(1),
        successors=jnp.arange(children.size).reshape(1, *children.shape),
    )
    return dp.backup(row, family, tree.theta[children].reshape(children.size, 1, -1), mix=mix)[0]


def _simulate(
    tree: Node,
    number: Array,
    model: ChanceModel,
    judge: Judge,
    family: Representation,
    statistic: Statistic,
    mix: Mix,
    discount: float | Array,
    exploration: float | Array,
) -> Node:
    """Walk to a node that can be expanded, expand it, and back up the nodes on the way."""

    def onward(node: Array) -> Array:
        children = _children(tree, node)
        chances = jnp.where(tree.open[children], _edges(tree, node)[0], 0.0)
        some = (chances > 0).any(-1)  # [A]
        scores = statistic(family.decode(_backup(tree, node, family, mix)))
        possible = _possible(tree.prior[node])
        low = jnp.where(possible, scores, jnp.inf).min()
        high = jnp.where(possible, scores, -jnp.inf).max()
        scaled = (scores - low) / jnp.maximum(high - low, 1e-8)
        visits = tree.visits[children]
        wide = jnp.sqrt(tree.visits[node]) * jax.nn.softmax(tree.prior[node])
        bonus = exploration * wide / (1 + visits.sum(-1))
        action = jnp.where(some & possible, scaled + bonus, -jnp.inf).argmax()
        return children[action, (chances / (1 + visits))[action].argmax()]

    expanded = lambda node: (tree.first[node] > 0) & tree.open[node]
    leaf = jax.lax.while_loop(expanded, onward, jnp.int32(0))
    grown = _expanded(tree, leaf, number, model, judge, discount)
    # Where all has ended there is nothing left to expand, and the tree stays as it is.
    tree = jax.tree.map(lambda new, old: jnp.where(tree.open[leaf], new, old), grown, tree)

    def back(carry: tuple) -> tuple:
        node, theta, visits, open_ = carry
        now = tree._replace(theta=theta, visits=visits, open=open_)
        found = _backup(now, node, family, mix)
        possible = _possible(tree.prior[node])
        scores = jnp.where(possible, statistic(family.decode(found)), -jnp.inf)
        left = open_[_children(now, node)] & (_edges(now, node)[0] > 0)
        return (
            tree.parent[node],
            theta.at[node].set(take(found, scores.argmax())),
            visits.at[node].add(1),
            open_.at[node].set((left.any(-1) & possible).any()),
        )

    start = (leaf, tree.theta, tree.visits, tree.open)
    _, theta, visits, open_ = jax.lax.while_loop(lambda carry: carry[0] >= 0, back, start)
    return tree._replace(theta=theta, visits=visits, open=open_)


def _expanded(
    tree: Node,
    node: Array,
    number: Array,
    model: ChanceModel,
    judge: Judge,
    discount: Array | float,
) -> Node:
    """Give a node all its children, as the expansion of that number."""
    _, actions, outcomes = tree.transition.shape
    size = actions * outcomes
    state = jax.tree.map(lambda x: jnp.broadcast_to(x[node], (size, *x.shape[1:])), tree.state)
    action, outcome = jnp.divmod(jnp.arange(size), outcomes)
    after, chances = model.decide(state, action)
    new, now = model.resolve(after, outcome)
    prior, theta = judge(now.final)
    first = 1 + number * size
    write = lambda old, rows: jax.lax.dynamic_update_slice_in_dim(
        old, rows.astype(old.dtype), first, 0
    )
    edge = lambda old, x: old.at[number].set(x.reshape(actions, outcomes))
    chance = jnp.exp(jnp.take_along_axis(chances, outcome[:, None], 1))
    return Node(
        jax.tree.map(write, tree.state, new),
        write(tree.theta, theta),
        write(tree.prior, prior),
        write(tree.parent, jnp.full(size, node)),
        tree.first.at[node].set(first),
        write(tree.visits, jnp.zeros(size)),
        write(tree.open, ~now.last),
        edge(tree.transition, chance),
        edge(tree.reward, now.reward),
        edge(tree.discount, discount * now.discount),
    )
