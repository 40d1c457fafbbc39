"""A worker that trains with rejax, in a virtual environment that holds it."""

from functools import partial

import jax
import protocol
import rejax

s = protocol.setting()
common = {
    "env": s["env"],
    "num_envs": s["num_envs"],
    "total_timesteps": s["steps"],
    # One iteration of `train` without evaluations: only interaction and learning are timed.
    "eval_freq": s["steps"],
    "skip_initial_evaluation": True,
}
replay = {key: s[key] for key in ("buffer_size", "batch_size") if key in s}
if s["agent"] == "ppo":
    algorithm = rejax.PPO.create(
        num_steps=s["rollout_length"],
        num_epochs=s["epochs"],
        num_minibatches=s["minibatches"],
        max_grad_norm=0.5,
        agent_kwargs={"activation": s["activation"], "hidden_layer_sizes": s["hidden"]},
        **common,
    )
elif s["agent"] == "dqn":
    assert tuple(s["hidden"]) == (64, 64), "rejax fixes the sizes of DQN's layers"
    algorithm = rejax.DQN.create(
        fill_buffer=s["warmup"],
        max_grad_norm=10.0,
        polyak=1 - s["target_rate"],
        agent_kwargs={"activation": s["activation"]},
        **common,
        **replay,
    )
else:
    algorithm = rejax.SAC.create(
        fill_buffer=s["warmup"],
        polyak=1 - s["target_rate"],
        hidden_layer_sizes=s["hidden"],
        agent_kwargs={"activation": s["activation"]},
        **common,
        **replay,
    )
algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: ())

# A state's class is made anew at every call of `init_state`, so only its leaves cross functions.
key = jax.random.PRNGKey(0)
structure = jax.tree.structure(jax.eval_shape(algorithm.init_state, key))


def init(key):
    """The leaves of a new training state."""
    return jax.tree.leaves(algorithm.init_state(key))


def advance(leaves):
    """The leaves after one chunk of training."""
    state, _ = algorithm.train(train_state=jax.tree.unflatten(structure, leaves))
    return jax.tree.leaves(state)


keys = jax.random.split(key, s["seeds"])
if s["seeds"] == 1:
    keys = keys[0]
else:
    init, advance = jax.vmap(init), jax.vmap(advance)
# Enough chunks to be past the warm-up, in which nothing is learnt.
settle = 1 + -(-s.get("warmup", 0) // s["steps"])
donating = partial(jax.jit, donate_argnums=0)
protocol.serve_compiled(jax.jit(init), donating(advance), keys, s["steps"] * s["seeds"], settle)
