"""Two-player zero-sum games, as environments of one player or of both, and self-play."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.environments import begun, episode_statistics, vectorize
from jaxrl.errors import require, require_discrete, typed_key
from jaxrl.loop import Setup, assemble, experiment
from jaxrl.policies import allowed
from jaxrl.rollouts import random_actions
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Box,
    Env,
    Key,
    Product,
    Spec,
    TimeStep,
    Tree,
    Trial,
    lanes,
    memoryless,
)
from jaxrl.watching import Refresh, dependent, latest, watching


class Game(NamedTuple):
    """A game of the players 0 and 1, of which one wins what the other loses."""

    init: Callable[[Key], Tree]  # key -> state
    step: Callable[[Tree, Array, Key], tuple[Tree, Array, Array]]
    # step: (state, action, key) -> (state, reward [] of player 0, over [] bool). The action is that
    # of the player to move, or [2, ...] those of both if they move at once.
    see: Callable[[Tree, Array], Tree]  # (state, player []) -> what the player observes
    turn: Callable[[Tree], Array] | None  # state -> the player to move []; None: both, at once
    spec: Spec  # what a player observes and does; continuous actions are in [-1, 1]


class Match(NamedTuple):
    """The state of a game from the view of one player."""

    state: Tree  # of the game
    seat: Array  # [] int32, the player that this is the environment of
    memory: Tree  # [1, *] of the opponent


def random_player(spec: Spec) -> Actor:
    """An opponent that plays uniformly among the actions that are allowed; its view is ()."""
    return memoryless(lambda view, obs, key: (random_actions(spec, lanes(obs), key, obs), ()))


def tactical_player(game: Game, replies: bool = True) -> Actor:
    """A fixed opponent that sees the state: it wins at once if it can, and else plays at random.

    With `replies` it leaves out, if it can, moves after which the other player can win at once: it
    tries all pairs of moves in each position. Its observations are states of the game, as of
    `against(..., see=lambda state, player: state)`; its view is ().
    """
    turn, count = game.turn, require_discrete(game.spec, "A tactical player").num
    assert turn is not None
    actions = jnp.arange(count)

    def tried(state: Tree, key: Key) -> tuple[Tree, Array, Array, Array]:
        """The states after all actions [A, *]; which of these are allowed, win and end [A]."""
        player = turn(state)
        mask = allowed(game.spec, game.see(state, player))
        after, paid, over = jax.vmap(lambda a, k: game.step(state, a, k))(
            actions, jax.random.split(key, count)
        )
        fine = jnp.ones(count, bool) if mask is None else mask
        return after, fine, fine & over & (jnp.where(player == 0, paid, -paid) > 0), over

    def choose(state: Tree, key: Key) -> Array:
        k_try, k_reply, k_pick = jax.random.split(key, 3)
        after, fine, wins, over = tried(state, k_try)
        calm = fine
        if replies:
            loses = jax.vmap(lambda s, k: tried(s, k)[2].any())
            lost = loses(after, jax.random.split(k_reply, count))
            lost = lost & ~over & (jax.vmap(turn)(after) != turn(state))
            calm = fine & ~lost
        good = jnp.where(wins.any(), wins, jnp.where(calm.any(), calm, fine))
        return jax.random.categorical(k_pick, jnp.where(good, 0.0, -jnp.inf)).astype(jnp.int32)

    act = lambda view, obs, key: (jax.vmap(choose)(obs, jax.random.split(key, lanes(obs))), ())
    return memoryless(act)


def against(
    game: Game,
    actor: Actor,
    view: Tree,
    seat: int | None = None,
    see: Callable[[Tree, Array], Tree] | None = None,
) -> Env:
    """The environment of one player of a game whose other player is `actor`, which sees `view`.

    The environment is of one lane. It is the player `seat`, or for each episode a random one of
    both. Where players take turns, a step is the player's move and whatever the opponent does until
    the player's next one, and rewards of these moves are added. The end of a game is a termination;
    use `time_limit` for games that may never end. A game must not end before both could move.
    `see(state, player)` is what the opponent observes, by default what anybody does.

    Raises an InputError if continuous actions are not in [-1, 1], or actions are a `Product`.
    """
    action = game.spec.action
    require(not isinstance(action, Product), "The actions of a game must be one array.")
    if isinstance(action, Box) and not any(isinstance(x, Tracer) for x in action):
        unit = (np.asarray(action.low) == -1).all() and (np.asarray(action.high) == 1).all()
        require(bool(unit), "The continuous actions of a game must be in [-1, 1].")

    def chosen(match: Match, key: Key) -> tuple[Array, Match]:
        shown = (game.see if see is None else see)(match.state, 1 - match.seat)
        obs = jax.tree.map(lambda x: jnp.asarray(x)[None], shown)
        action, memory, _ = actor.step(view, match.memory, obs, key)
        return action[0], match._replace(memory=memory)

    def answered(match: Match, reward: Array, over: Array, key: Key) -> tuple[Match, Array, Array]:
        """The match when it is the player's turn again."""
        turn = game.turn
        assert turn is not None

        def waits(carry: tuple) -> Array:
            match, _, over, _ = carry
            return ~over & (turn(match.state) != match.seat)

        def move(carry: tuple) -> tuple:
            match, reward, _, key = carry
            key, k_act, k_step = jax.random.split(key, 3)
            action, match = chosen(match, k_act)
            state, paid, over = game.step(match.state, action, k_step)
            return match._replace(state=state), reward + jnp.asarray(paid, jnp.float32), over, key

        match, reward, over, _ = jax.lax.while_loop(waits, move, (match, reward, over, key))
        return match, reward, over

    def emit(match: Match, reward: Array, over: Array) -> TimeStep:
        obs = game.see(match.state, match.seat)
        reward = jnp.where(match.seat == 0, reward, -reward)
        return TimeStep(obs, reward, 1.0 - over.astype(jnp.float32), over, obs, {})

    def init(key: Key) -> tuple[Match, TimeStep]:
        k_seat, k_game, k_open = jax.random.split(typed_key(key), 3)
        place = jax.random.randint(k_seat, (), 0, 2) if seat is None else jnp.int32(seat)
        match = Match(game.init(k_game), place, actor.init(1))
        zero, no = jnp.zeros((), jnp.float32), jnp.zeros((), bool)
        if game.turn is not None:
            match, _, _ = answered(match, zero, no, k_open)
        return match, emit(match, zero, no)

    def step(match: Match, action: Array, key: Key) -> tuple[Match, TimeStep]:
        k_act, k_step, k_rest = jax.random.split(key, 3)
        if game.turn is None:
            other, match = chosen(match, k_act)
            pair = jnp.stack([action, other.astype(action.dtype)])
            action = jnp.where(match.seat == 0, pair, pair[::-1])
        state, reward, over = game.step(match.state, action, k_step)
        match = match._replace(state=state)
        reward = jnp.asarray(reward, jnp.float32)
        if game.turn is not None:
            match, reward, over = answered(match, reward, over, k_rest)
        return match, emit(match, reward, over)

    return Env(init, step, game.spec, fresh=1.0)


def alternating(game: Game, trial: Env | None = None) -> Env:
    """The environment of both players of a game, who take turns: a step is one move.

    The observation is that of the player to move, and the reward that of the player who moved. The
    discount is -1 where the other player moves next, 1 where the same one does, and 0 at the end:
    then an agent's values are those of the player to move, and its backups r - v' are negamax.
    Agents are evaluated in `trial`, of `against`, or else against random play. Source: Knuth and
    Moore (1975), "An analysis of alpha-beta pruning", section 2.

    Raises an InputError if players move at once.
    """
    turn = game.turn
    require(turn is not None, "Players who move at once cannot alternate: use jaxrl.games.against.")
    assert turn is not None

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state = game.init(typed_key(key))
        return state, begun(game.see(state, turn(state)))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        mover = turn(state)
        state, paid, over = game.step(state, action, key)
        paid, follower = jnp.asarray(paid, jnp.float32), turn(state)
        discount = jnp.where(over, 0.0, jnp.where(follower == mover, 1.0, -1.0))
        obs = game.see(state, follower)
        reward = jnp.where(mover == 0, paid, -paid)
        return state, TimeStep(obs, reward, discount.astype(jnp.float32), over, obs, {})

    trial = against(game, random_player(game.spec), ()) if trial is None else trial
    spec = game.spec._replace(players=2)
    return Env(init, step, spec, 1.0, Trial(trial, lambda match: match.state))


def self_play(
    make_agent: Callable[[Spec, Any], Agent],
    game: Game,
    hp: Any,
    steps: float | None = None,
    refresh: Refresh = latest(),
) -> Setup:
    """Put an agent to work against itself: the opponent is a frozen copy of what it has learnt.

    The opponent explores as the agent does, from either seat, and `refresh` says when its copy is
    replaced; before that, as in the warm-up, it is an untrained agent. `Setup.env` is the game
    against random play, which says whether anything is learnt. Pass this as `assemble` to
    `make_train`, with the game in place of the environment.

    What the last iterate learns is a good reply to the one before it. That is optimal in games
    whose optimal moves are pure, where all positions are visited; where optimal play is mixed it
    may go around in circles, of which only the average over time is optimal.
    """
    agent = make_agent(game.spec, hp)

    def lane(view: Tree) -> Env:
        return episode_statistics(against(game, agent.explore, view))

    def together(env: Env, num: int) -> Env:
        alone = experiment(vectorize(env, num), agent, 1)
        untrained = lambda key: agent.update.read(alone.init(key).learner)
        return dependent(env, num, lane, untrained)

    env = against(game, random_player(game.spec), ())
    setup = assemble(make_agent, env, hp, steps, together)
    return setup._replace(experiment=watching(setup.experiment, setup.agent, refresh))
