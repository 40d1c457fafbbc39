"""The records that every other module speaks in.

Data are pytrees; behaviour is pure functions, closed over hyperparameters and grouped in a
NamedTuple. Each kind of behaviour has a family of transforms onto itself: `Env -> Env`,
`Update -> Update`, `Agent -> Agent`, `Experiment -> Experiment`. Trajectories are time-major,
[T, B, ...]; functions act on trailing axes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array
"""A typed JAX key, of `jax.random.key`."""
Tree = Any
"""Any pytree of arrays."""


class Discrete(NamedTuple):
    """Actions 0, 1, ..., num - 1, as int32 scalars."""

    num: int


class Box(NamedTuple):
    """Real-valued actions of a fixed shape between two bounds."""

    low: Array  # [...]
    high: Array  # [...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one action."""
        return jnp.shape(self.low)


class MultiDiscrete(NamedTuple):
    """Several discrete actions at once, as int32 vectors [n].

    The i-th entry is one of 0, ..., nums[i] - 1.
    """

    nums: tuple[int, ...]


class Product(NamedTuple):
    """Actions of several spaces at once, as a tuple with one action of each part.

    `Product((Discrete(3), Box(low, high)))` has the actions `(kind [], amount [...])`.
    """

    parts: tuple["Space", ...]


Space = Discrete | Box | MultiDiscrete | Product
"""A space of actions; `jaxrl.spaces` has what all of them can do."""


class Goals(NamedTuple):
    """What it is to reach a goal; its functions act on arrays of any leading axes."""

    goal: Tree  # one jax.ShapeDtypeStruct per leaf of a goal
    achieved: Callable[[Tree], Tree]
    # achieved: observation [..., *], without the goal -> the goal [..., *goal] that it has reached
    reached: Callable[[Tree, Tree], Array]
    # reached: (what was achieved [..., *goal], goal [..., *goal]) -> bool [...]
    reward: tuple[float, float] = (-1.0, 0.0)
    # reward: of a step whose successor has not reached the goal, and of one whose successor has
    ends: bool = True  # whether an episode ends where its goal is reached


class Costs(NamedTuple):
    """The signals of an environment that tells costs of its steps: see `jaxrl.rewards.costly`."""

    costs: dict[str, Any]  # by name, each [...] between 0 and 1; in a spec its shape and type
    signals: Tree  # of the environment itself


def costs_of(signals: Tree) -> dict[str, Any]:
    """The costs by name that signals tell, beneath those of transforms too; {} for none."""
    while not isinstance(signals, Costs) and hasattr(signals, "signals"):
        signals = signals.signals
    return signals.costs if isinstance(signals, Costs) else {}


class Spec(NamedTuple):
    """What an agent may know of an environment before it acts."""

    observation: Tree  # one jax.ShapeDtypeStruct per leaf, without a batch axis
    action: Space
    mask: Callable[[Tree], Tree] | None = None
    # mask: observation [..., *] -> bool [..., A], True where a discrete action is allowed. Of a
    # MultiDiscrete it is [..., n, max(nums)], where entries that are no actions do not matter; of
    # a Product it is a tuple with the mask of each part, None for a continuous one
    signals: Tree = ()  # one jax.ShapeDtypeStruct per leaf of `TimeStep.signals`
    players: int = 1
    # players: with 2, each step is a move of one of two players of a zero-sum game. Observation
    # and reward are those of the player who moves, and the discount is negative where the other
    # one moves next, so that r + discount V(s') is the value of the player who moves
    goals: Goals | None = None
    # goals: where observations are `Conditioned` on a goal, what it is to reach one: `jaxrl.goals`


class TimeStep(NamedTuple):
    """What an environment emits at a reset and after each action."""

    obs: Tree  # what to act on next: after an auto-reset, of the new episode
    reward: Array  # [] R_{t+1}, 0 at a reset
    discount: Array  # [] 0 only at termination, else 1; the agent's discount is not in it
    # discount: with `Spec.players` 2 it is -1 instead of 1 where the other player moves next
    last: Array  # [] bool, an episode boundary, terminated or truncated: cuts traces
    final: Tree  # S_{t+1} itself, never a reset observation: bootstrap from this
    info: dict  # statistics to report
    signals: Tree = ()  # [..., *signals] what else learners may learn from: see `Transition`


class Env(NamedTuple):
    """A Markov decision process: a simulator or a learnt model, of one lane or of a batch."""

    init: Callable[[Key], tuple[Tree, TimeStep]]
    step: Callable[[Tree, Array, Key], tuple[Tree, TimeStep]]
    spec: Spec  # of one lane, also when the environment is a batch of them
    fresh: float = 1 / 16
    # fresh: initial states drawn per lane and step, where lanes restart from a pool of them; with
    # 1 each lane draws its own. Episodes shorter than 1 / fresh on average share initial states.
    trial: "Trial | None" = None  # where agents are evaluated, None for the environment itself


class Trial(NamedTuple):
    """An environment in which the agents of another one are evaluated.

    Those that learn to play both sides of a game are evaluated against a fixed opponent.
    """

    env: Env  # of one lane, with the observations and actions of the other one
    within: Callable[[Tree], Tree]  # its state -> the state of the other one that is in it


class Transition(NamedTuple):
    """One step of interaction, or any stack of them."""

    obs: Tree  # [..., *observation]
    action: Array  # [..., *action], or a tuple of them in a `Product`
    reward: Array  # [...]
    discount: Array  # [...] 0 only at termination
    last: Array  # [...] bool, terminated or truncated
    final: Tree  # [..., *observation] the true successor
    extras: Tree  # what the actor reported: a log-probability, a memory, ...
    weight: Array  # [...] of this sample in a loss: 1, unless a transform says otherwise
    signals: Tree = ()
    # signals: [..., *signals] what the environment tells learners of the step besides the reward,
    # such as several rewards, an intervention, or the end of an option; policies never see it


class Update(NamedTuple):
    """A learning rule, in the manner of an optax transformation."""

    init: Callable[[Key, Transition], Tree]  # from an example [T, B, ...], T may be 0
    apply: Callable[[Tree, Tree, Key], tuple[Tree, dict]]
    read: Callable[[Tree], Tree]  # what actors see of the state


class Actor(NamedTuple):
    """A rule for acting on a batch of observations [B, ...]."""

    init: Callable[[int], Tree]  # the memory of B new episodes, () if there is none
    step: Callable[[Tree, Tree, Tree, Key], tuple[Array, Tree, Tree]]
    # step: (view, memory, obs, key) -> (action, memory, extras)


class Agent(NamedTuple):
    """A way to explore, a way to exploit, and a way to learn."""

    explore: Actor
    exploit: Actor
    update: Update


class Counter(NamedTuple):
    """A number that is the same in every member of a population.

    Counters and buffer positions must not depend on a key: then `jax.vmap` over seeds leaves
    them unbatched, and what they index is written as one contiguous slice. `population_axes`
    recognises them by this type, so that it stays so from one compiled call to the next, and
    `share_counters` takes together what a plain `jax.vmap` has copied to each member.
    """

    value: Array  # [] int32


class Run(NamedTuple):
    """Everything that a training run is: to save it is to be able to resume it exactly."""

    learner: Tree  # the state of the agent's update
    world: tuple  # environment state, last time step, actor memory; () if there is no environment
    key: Key
    step: Counter


class Experiment(NamedTuple):
    """The one loop: interact, then learn."""

    init: Callable[[Key], Run]
    step: Callable[[Run], tuple[Run, dict]]


def population_axes(tree: Tree) -> Tree:
    """The `in_axes` or `out_axes` of a population [members, ...]: 0, but None at a `Counter`."""
    return jax.tree.map(
        lambda node: None if isinstance(node, Counter) else 0,
        tree,
        is_leaf=lambda node: isinstance(node, Counter),
    )


@jax.custom_batching.custom_vmap
def shared(value: Array) -> Array:
    """A value that is the same in all members, and stays one value where `vmap` has copies of it.

    So what it indexes is written as one slice, instead of one scatter a member.
    """
    return value


@shared.def_vmap
def _shared_by_members(size: int, batched: list[bool], value: Array) -> tuple[Array, bool]:
    return (value[0] if batched[0] else value), False


def share_counters(tree: Tree) -> Tree:
    """The same tree, with counters that are one for all members of a population."""
    counter = lambda node: isinstance(node, Counter)
    share = lambda node: Counter(shared(node.value)) if counter(node) else node
    return jax.tree.map(share, tree, is_leaf=counter)


def count(start: int = 0) -> Counter:
    """A counter at `start`."""
    return Counter(jnp.asarray(start, jnp.int32))


def is_key(x: Any) -> bool:
    """Whether something is an array of typed keys, or the shape of one."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def lanes(tree: Tree) -> int:
    """The length of the first axis of a tree's arrays [B, *]."""
    return jax.tree.leaves(tree)[0].shape[0]


def listed(batch: Transition) -> Transition:
    """Transitions [..., *] of any leading axes as one list [N, *]."""
    lead = batch.reward.ndim
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[lead:]), batch)


def memoryless(act: Callable[[Tree, Tree, Key], tuple[Array, Tree]]) -> Actor:
    """Lift `act(view, obs, key) -> (action, extras)` to an actor with no memory."""

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        action, extras = act(view, obs, key)
        return action, memory, extras

    return Actor(lambda batch_size: (), step)


def select(condition: Array, new: Tree, old: Tree) -> Tree:
    """`jnp.where` leaf by leaf, with `condition` [...] against leaves [..., *rest].

    Leaves that are typed keys are selected like any other array; a `Counter` keeps `new`.
    """

    def pick(x: Any, y: Any) -> Any:
        if isinstance(x, Counter):
            return x
        x = jnp.asarray(x)
        return jnp.where(where.reshape(where.shape + (1,) * (x.ndim - where.ndim)), x, y)

    where = jnp.asarray(condition)
    return jax.tree.map(pick, new, old, is_leaf=lambda node: isinstance(node, Counter))
