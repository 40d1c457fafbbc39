"""Games of pgx: of two players against a fixed opponent or against the learner itself, and of one.

https://github.com/sotetsuk/pgx. Left out are `bridge_bidding` and `sparrow_mahjong`, which have
more than two players.
"""

import importlib
import importlib.util
import inspect
import io
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from envs.errors import unknown_parameters
from envs.suites import imported
from jaxrl.environments import begun, retyped, time_limit
from jaxrl.errors import InputError, require, require_positive, unknown
from jaxrl.games import Game, against, alternating, random_player, tactical_player
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Tree

# Each with the class of its environment, by module. Written out so that to list imports nothing.
_TWO = {
    "animal_shogi": ("animal_shogi", "AnimalShogi"),
    "backgammon": ("backgammon", "Backgammon"),
    "chess": ("chess", "Chess"),
    "connect_four": ("connect_four", "ConnectFour"),
    "gardner_chess": ("gardner_chess", "GardnerChess"),
    "go_19x19": ("go", "Go"),
    "go_9x9": ("go", "Go"),
    "hex": ("hex", "Hex"),
    "kuhn_poker": ("kuhn_poker", "KuhnPoker"),
    "leduc_holdem": ("leduc_holdem", "LeducHoldem"),
    "othello": ("othello", "Othello"),
    "shogi": ("shogi", "Shogi"),
    "tic_tac_toe": ("tic_tac_toe", "TicTacToe"),
}
_ONE = {
    "2048": ("play2048", "Play2048"),
    "minatar-asterix": ("minatar.asterix", "MinAtarAsterix"),
    "minatar-breakout": ("minatar.breakout", "MinAtarBreakout"),
    "minatar-freeway": ("minatar.freeway", "MinAtarFreeway"),
    "minatar-seaquest": ("minatar.seaquest", "MinAtarSeaquest"),
    "minatar-space_invaders": ("minatar.space_invaders", "MinAtarSpaceInvaders"),
}
_GIVEN = {"go_9x9": {"size": 9, "komi": 7.5}, "go_19x19": {"size": 19, "komi": 7.5}}
OPPONENTS = ("random", "self", "tactical")
MAX_STEPS = 10_000  # of a game of one player, some of which need never end
FEW = 16  # actions, up to which the tactical opponent looks at the learner's replies as well


def names() -> list[str]:
    """The names of all games, each after `pgx/`."""
    return sorted(f"pgx/{name}" for name in (*_TWO, *_ONE))


def make(
    name: str,
    opponent: str = "random",
    judge: str = "random",
    max_steps_in_episode: int | Array | None = None,
    **params: Any,
) -> Env:
    """The game `name`, `pgx/` included, whose observations are `{"board": ..., "legal": bool [A]}`.

    A game of two players is the environment of one of them, in a random seat for each episode,
    against an `opponent`: `random`, or `tactical`, which wins at once where it can and avoids to
    lose at once if there are few actions. With the opponent `self` it is the environment of both,
    of `jaxrl.games.alternating`, whose agents are evaluated against the opponent `judge`. Episodes
    are truncated after `max_steps_in_episode`: games of one player after 10 000 by default, and
    those of two, which end by their rules, never. Other parameters are arguments of the game's
    constructor, such as `size` of hex. Raises `InputError` for a parameter or an opponent that does
    not exist.
    """
    short = name.removeprefix("pgx/")
    if short in _ONE:
        given = {"opponent": opponent, "judge": judge}
        for key, value in given.items():
            require(value == "random", f"{name} has one player, and so no parameter {key!r}.")
        limit = MAX_STEPS if max_steps_in_episode is None else max_steps_in_episode
        return time_limit(from_pgx_single(_construct(name, params)), limit)
    for value, valid in ((opponent, OPPONENTS), (judge, ("random", "tactical"))):
        if value not in valid:
            raise unknown("opponent", str(value), valid)
    played = game(name, **params)
    env = _against(played, judge if opponent == "self" else opponent)
    env = alternating(played, env) if opponent == "self" else env
    return env if max_steps_in_episode is None else time_limit(env, max_steps_in_episode)


def game(name: str, **params: Any) -> Game:
    """The game `name` of two players, `pgx/` included, for `jaxrl.games`."""
    require(name.removeprefix("pgx/") in _TWO, f"{name} is not a game of two players.")
    made = _construct(name, params)
    try:
        return from_pgx(made)
    except TypeError:
        given = ", ".join(f"{key} {value}" for key, value in params.items())
        raise InputError(f"pgx cannot play {name} with {given}: leave these out.") from None


def from_pgx(env: Any) -> Game:
    """Adapt any `pgx.Env` of two players who take turns and of whom one wins what the other loses.

    Its state is that of pgx. Raises an InputError if there are not two players.
    """
    require(env.num_players == 2, f"{env.id} has {env.num_players} players, and not 2.")

    def step(state: Any, action: Array, key: Key) -> tuple[Tree, Array, Array]:
        new: Any = retyped(env.step(state, action, key), state)
        return new, new.rewards[0], new.terminated | new.truncated

    see = lambda state, player: _seen(env, state, player)
    return Game(env.init, step, see, lambda state: state.current_player, _spec(env))


def from_pgx_single(env: Any) -> Env:
    """Adapt any `pgx.Env` of one player, without a time limit.

    Raises an InputError if there are more players.
    """
    require(env.num_players == 1, f"{env.id} has {env.num_players} players, and not 1.")

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state = env.init(key)
        return state, begun(_seen(env, state, state.current_player))

    def step(state: Any, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        new: Any = retyped(env.step(state, action, key), state)
        obs, over = _seen(env, new, new.current_player), new.terminated
        reward = new.rewards[0].astype(jnp.float32)
        discount = 1.0 - over.astype(jnp.float32)
        return new, TimeStep(obs, reward, discount, over | new.truncated, obs, {})

    return Env(init, step, _spec(env))


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...], which pgx draws as SVG and resvg as bytes [H, W, 3]."""
    require(
        importlib.util.find_spec("resvg_py") is not None,
        f"To draw {name} needs the package resvg_py: pip install 'jaxrl[pgx]'.",
    )
    draw = importlib.import_module("resvg_py").svg_to_bytes
    while isinstance(states, tuple):  # a match, or a state and the steps so far
        states = states[0]
    pictures = []
    for t in range(len(states.terminated)):
        svg = jax.tree.map(lambda x, t=t: jnp.asarray(x[t]), states).to_svg()
        svg = re.sub(r'="([\d.]+)pt"', r'="\1"', svg)  # resvg knows no sizes in points
        image = Image.open(io.BytesIO(bytes(draw(svg_string=svg))))
        pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def _construct(name: str, params: dict[str, Any]) -> Any:
    """What pgx makes of a name and of the arguments of its constructor."""
    short = name.removeprefix("pgx/")
    place, kind = (_TWO | _ONE)[short]
    factory = getattr(imported(f"pgx.{place}"), kind)
    own = list(inspect.signature(factory).parameters)
    more = [] if short in _ONE else ["opponent", "judge"]
    unknown_parameters(name, params, [*more, "max_steps_in_episode", *own])
    for key in ("size", "max_terminal_steps"):
        if params.get(key) is not None:
            require_positive(**{key: params[key]})
    return factory(**(_GIVEN.get(short, {}) | params))


def _against(played: Game, opponent: str) -> Env:
    """The environment of one player of a game against one of the fixed opponents."""
    if opponent == "random":
        return against(played, random_player(played.spec), ())
    few = isinstance(played.spec.action, Discrete) and played.spec.action.num <= FEW
    return against(played, tactical_player(played, few), (), see=lambda state, player: state)


def _seen(env: Any, state: Any, player: Array) -> dict[str, Array]:
    # What a certain player sees: `observe` warns of that argument.
    board = jax.lax.stop_gradient(env._observe(state, player))
    return {"board": board, "legal": state.legal_action_mask}


def _spec(env: Any) -> Spec:
    state = jax.eval_shape(env.init, jax.random.key(0))
    see = lambda key: (lambda state: _seen(env, state, state.current_player))(env.init(key))
    observation = jax.eval_shape(see, jax.random.key(0))
    actions = Discrete(int(state.legal_action_mask.shape[0]))
    return Spec(observation, actions, lambda obs: obs["legal"])
