"""What benchmarks count, against what was counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from experiments import records
from experiments.benchmarks import speed
from experiments.benchmarks.imagination import operations, products


def test_matrix_products_are_counted_within_loops_and_batches():
    def program(x, y):
        z = jax.lax.scan(lambda c, _: (jnp.tanh(c @ y), None), x, None, 7)[0]  # 7 of 4 x 3 x 3
        return jax.jit(jax.vmap(lambda row: row @ y))(z).sum()  # 1 of 4 x 3 x 3

    shapes = products(jax.make_jaxpr(program)(jnp.ones((4, 3)), jnp.ones((3, 3))).jaxpr)
    assert shapes == {(4, 3, 3): 8}
    batched = jax.make_jaxpr(jnp.matmul)(jnp.ones((5, 2, 3)), jnp.ones((5, 3, 6))).jaxpr
    assert products(batched) == {(2, 3, 6): 5}
    assert operations(products(batched)) == 2 * 5 * 2 * 3 * 6


def test_our_worker_trains_as_its_peers_are_told_to():
    for name, setting in speed.SETTINGS.items():
        own = records.flat(speed.hyperparameters(setting.task))
        told = {k: v for k, v in setting.task.items() if k not in speed.TOLD}
        assert {k: own[k] for k in told} == told, name
    with pytest.raises(TypeError, match="numb_envs"):
        speed.hyperparameters({"agent": "ppo", "numb_envs": 8})
