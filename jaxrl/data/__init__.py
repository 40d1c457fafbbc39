"""What is made of logged experience before it is learnt from.

A data set is a `Transition` with leaves [T, B, ...], as `jaxrl.logged.from_arrays` makes it: B
lanes of T consecutive steps, in which episodes end where `last` says so. The functions here are
pure functions of such data sets that may be compiled, unless they say otherwise. What is left out
keeps its place with the weight 0, by which every loss multiplies; `compacted` removes it.

Examples:
  >>> import jax, jax.numpy as jnp
  >>> from jaxrl.data import *
  >>> from jaxrl.types import Transition
  >>> obs, one = jnp.arange(4.0).reshape(4, 1, 1), jnp.ones((4, 1))  # four steps of one lane
  >>> reward = jnp.array([[1.0], [2.0], [3.0], [0.0]])
  >>> discount = jnp.array([[1.0], [0.0], [1.0], [1.0]])  # the second step terminates,
  >>> last = jnp.array([[False], [True], [True], [False]])  # the third one truncates
  >>> data = Transition(obs, 0 * obs, reward, discount, last, obs + 1, (), one)
"""

from jaxrl.data.chunks import chunked, chunks_at, cut, joined
from jaxrl.data.corruption import attacked, corrupted
from jaxrl.data.episodes import Episodes, compacted, episode_index, episodes, places, subsampled
from jaxrl.data.labels import labelled, relabelled
from jaxrl.data.mixtures import concatenated, require_same_spaces, sample_mixture
from jaxrl.data.neighbours import nearest, nearest_steps
from jaxrl.data.quality import coverage, distinct_pairs, trajectory_quality

__all__ = [
    "Episodes",
    "attacked",
    "chunked",
    "chunks_at",
    "compacted",
    "concatenated",
    "corrupted",
    "coverage",
    "cut",
    "distinct_pairs",
    "episode_index",
    "episodes",
    "joined",
    "labelled",
    "nearest",
    "nearest_steps",
    "places",
    "relabelled",
    "require_same_spaces",
    "sample_mixture",
    "subsampled",
    "trajectory_quality",
]
