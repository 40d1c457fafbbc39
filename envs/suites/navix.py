"""NAVIX, MiniGrid in JAX, below the package's own auto-reset.

Source: Pignatelli et al. (2024), https://arxiv.org/abs/2407.19396.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.errors import unknown_parameters
from envs.suites import imported
from envs.suites.planes import planes
from jaxrl.environments import begun, retyped, strong, time_limit
from jaxrl.errors import require_known
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Tree

MAX_STEPS = 100  # navix's own max_steps

# Written out so that to list the names need not import navix.
_SIZES = {
    "Empty": ("5x5", "6x6", "8x8", "16x16"),
    "Empty-Random": ("5x5", "6x6", "8x8", "16x16"),
    "DoorKey": ("5x5", "6x6", "8x8", "16x16"),
    "DoorKey-Random": ("5x5", "6x6", "8x8", "16x16"),
    "Dynamic-Obstacles": ("5x5", "5x5-Random", "6x6", "6x6-Random", "8x8", "16x16"),
    "GoToDoor": ("5x5", "6x6", "8x8"),
}
_OTHERS = (
    "FourRooms",
    *(f"KeyCorridor{size}" for size in ("S3R1", "S3R2", "S3R3", "S4R3", "S5R3", "S6R3")),
    *(f"LavaGap{size}" for size in ("S5", "S6", "S7")),
    *(f"SimpleCrossing{size}" for size in ("S9N1", "S9N2", "S9N3", "S11N5")),
    "DistShift1",
    "DistShift2",
)

TAGS, COLOURS, CONDITIONS = 11, 6, 4  # of what is in a cell: kind, colour, door or direction
OBSERVATIONS = {
    "symbolic": "symbolic",
    "first-person": "symbolic_first_person",
    "rgb": "rgb",
    "rgb-first-person": "rgb_first_person",
}


def names() -> list[str]:
    """The names of all NAVIX environments, each after `navix/`."""
    sized = [f"{kind}-{size}" for kind, sizes in _SIZES.items() for size in sizes]
    return [f"navix/Navix-{name}-v0" for name in [*sized, *_OTHERS]]


def make(
    name: str,
    observation: str = "symbolic",
    max_steps_in_episode: int | Array = MAX_STEPS,
    **params: Any,
) -> Env:
    """The environment `name`, `navix/` included.

    `observation` is "symbolic", the kind, the colour and the condition of what is in each cell of
    the whole grid as 21 planes [H, W, 21] of bools; "first-person", the same of the 7 x 7 cells
    around the agent, turned as it looks, which do not show what it carries; "rgb" or
    "rgb-first-person", pictures of bytes. What the package's termination function says is a
    termination, and the limit is a truncation. Random moves follow from the key of each step, not
    from one in the state, so that equal states may go on differently. Other parameters are those of
    the package's constructor, such as `reward_fn`. Raises `InputError` for a parameter or a kind of
    observation that does not exist.
    """
    library = imported("navix")
    require_known("observation of navix", observation, OBSERVATIONS)
    valid = ("reward_fn", "termination_fn", "transitions_fn", "action_set", "penality_coeff")
    unknown_parameters(name, params, ["observation", "max_steps_in_episode", *valid])
    with jax.ensure_compile_time_eval():
        env = library.make(
            name.removeprefix("navix/"),
            max_steps=max_steps_in_episode,
            observation_fn=library.observations.none,
            **params,
        )
    observe = _observer(library, observation)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        inner = env.reset(key)
        return _kept(inner), begun(observe(inner.state))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        before = jax.tree.map(lambda x: x, state)  # the package writes into its dictionaries
        inner = env._step(before.replace(state=before.state.replace(key=key)), action)
        terminated = inner.is_termination()
        obs, new = observe(inner.state), retyped(_kept(inner), state)
        reward = jnp.asarray(inner.reward, jnp.float32)
        discount = 1.0 - terminated.astype(jnp.float32)
        return new, TimeStep(obs, reward, discount, terminated, obs, {})

    shape = jax.eval_shape(init, jax.random.key(0))[1].obs
    spec = Spec(shape, Discrete(len(env.action_set)))
    return time_limit(Env(init, step, spec), max_steps_in_episode)


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`: the whole grid, 32 pixels a cell."""
    del name, params  # the states tell everything
    library = imported("navix")
    inner, _ = states  # a state of ours and the steps of its episode
    observe = _observer(library, "rgb")
    images = np.asarray(jax.jit(jax.vmap(observe))(inner.state))
    factor = max(1, 32 // library.rendering.registry.TILE_SIZE)
    return list(images.repeat(factor, 1).repeat(factor, 2))


def _kept(inner: Any) -> Any:
    """A time step of the package as a state: without its picture of the grid, which is large."""
    state = inner.state.replace(cache=None)
    return strong(inner.replace(state=state, observation=None, info={}))


def _observer(library: Any, observation: str) -> Callable[[Any], Array]:
    """How a state of the package is seen."""
    see = getattr(library.observations, OBSERVATIONS[observation])

    def picture(state: Any) -> Array:
        cache = library.rendering.cache.RenderingCache.init(state.grid)
        return see(state.replace(cache=cache)).astype(jnp.uint8)

    symbols = lambda state: planes(see(state), (TAGS, COLOURS, CONDITIONS))
    return picture if "rgb" in observation else symbols
