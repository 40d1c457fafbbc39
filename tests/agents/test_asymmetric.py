"""Actors that see a part of what critics see."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from agents import discrete_sac, ppo, sac, sequence
from jaxrl import values
from jaxrl.errors import InputError
from jaxrl.types import Box, Discrete, Spec

BOX = Box(-jnp.ones(2), jnp.ones(2))
PLAIN = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), BOX)
NAMED = Spec({"seen": jax.ShapeDtypeStruct((2,), jnp.float32),
              "secret": jax.ShapeDtypeStruct((), jnp.float32)}, BOX)  # fmt: skip
KEY = jax.random.key(0)
SMALL = dict(hidden=(8,), num_envs=2)


def parts(x):
    """The observation [3], whose last feature is a secret, as a tree."""
    return {"seen": x[..., :2], "secret": x[..., 2]}


def slopes(function):
    """The derivatives [outputs, 3] of a function of observations [4, 3], the largest of each."""
    x = jax.random.normal(KEY, (4, 3))
    found = jax.jit(jax.jacrev(lambda x: jnp.concatenate([y.reshape(-1) for y in function(x)])))(x)
    return np.abs(found).reshape(-1, 12).reshape(-1, 4, 3).max((0, 1))


def of_ppo(by, memory):
    """What the actor does and says, and the critic's value, of PPO."""
    hp = ppo.Hyperparameters(sequence_length=8, memory=memory, normalise_rewards=False, **SMALL)
    if by == "index":
        agent, show = ppo.ppo(PLAIN, hp.replace(actor_sees=(0, 1))), lambda x: x
    else:
        agent, show = ppo.ppo(NAMED, hp, actor_sees=lambda obs: obs["seen"]), parts
    view = agent.update.read(agent.update.init(KEY, ()))

    def both(x):
        """Two steps, the second with a memory of the first."""
        action, memory, extras = agent.exploit.step(view, agent.exploit.init(4), show(x), KEY)
        again, _, later = agent.exploit.step(view, memory, show(x), KEY)
        return (action, again), (extras.value, later.value)

    return both


def of_sac(by):
    hp, representation = sac.Hyperparameters(**SMALL), values.scalar()
    if by == "index":
        made, show = sac.networks(PLAIN, hp.replace(actor_sees=(0, -2)), representation), None
    else:
        see = lambda obs: obs["seen"]
        made, show = sac.networks(NAMED, hp, representation, actor_sees=see), parts
    params, show = made.init(KEY), show or (lambda x: x)

    def both(x):
        policy = made.pi(params, show(x))
        return (policy.location, policy.log_std), (made.q(params, show(x), jnp.zeros((4, 2))),)

    return both


@pytest.mark.parametrize("by", ["index", "function"])
@pytest.mark.parametrize("name", ["sac", "ppo", "ppo with a memory"])
def test_the_actor_does_not_depend_on_what_only_the_critic_sees(name, by):
    both = of_sac(by) if name == "sac" else of_ppo(by, "none" if name == "ppo" else "gru")
    actor, critic = slopes(lambda x: both(x)[0]), slopes(lambda x: both(x)[1])
    assert (actor[:2] > 0).all() and actor[2] == 0
    assert (critic > 0).all()


def test_discrete_sac_has_a_narrow_actor_and_wide_critics():
    hp = discrete_sac.Hyperparameters(actor_sees=(0, 1), **SMALL)
    agent = discrete_sac.learner(PLAIN._replace(action=Discrete(3)), hp)
    params = jax.eval_shape(lambda: agent.update.init(KEY, ())).params
    kernels = lambda tree: [x for path, x in flatten_dict(tree).items() if path[-1] == "kernel"]
    widths = {k: {x.shape[-2] for x in kernels(params[k])} for k in ("actor", "critics")}
    assert widths == {"actor": {2, 8}, "critics": {3, 8}}


@pytest.mark.parametrize(
    ("make", "spec", "sentence"),
    [
        (ppo.ppo, PLAIN, r"^actor_sees names features \(0, 3\), but observations have 3 features"),
        (sac.sac, NAMED, "^actor_sees .* no axis of features: give a function"),
        (sequence.sequence_sac, PLAIN, "^sequence-sac's actor sees everything"),
    ],
)
def test_what_an_actor_cannot_see_is_refused_in_one_sentence(make, spec, sentence):
    agent = {"ppo": ppo, "sac": sac, "sequence_sac": sequence}[make.__name__]
    with pytest.raises(InputError, match=sentence):
        make(spec, agent.Hyperparameters(actor_sees=(0, 3)))


def test_a_network_of_ones_own_has_its_own_critic():
    with pytest.raises(InputError, match="exclude each other"):
        ppo.ppo(PLAIN, ppo.Hyperparameters(actor_sees=(0,)), network=nn.Dense(2))
