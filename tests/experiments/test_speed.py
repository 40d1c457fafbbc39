"""The arithmetic of the tables of speed, and that bare parts are what agents do."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import partial_eval

from experiments.benchmarks import (
    accelerator,
    bare,
    beginnings,
    growth,
    kept_rows,
    precision,
    roofline,
    shares,
    timed,
)
from experiments.benchmarks.imagination import operations, products
from experiments.benchmarks.passes import PASSES
from experiments.benchmarks.turns import OURS
from experiments.cli import main
from experiments.profiling import profiler
from jaxrl.errors import InputError


def test_passes_depend_on_each_other_and_learn_by_the_gradient():
    params, inputs = jnp.array([[1.0], [2.0]]), jnp.array([[1.0, 3.0], [2.0, 0.0]])
    apply = lambda params, inputs: inputs @ params
    forward = bare.passed(bare.Pass("act", apply, params, inputs, 2))
    _, by = forward.step(forward.start)
    first = 1e-9 * (7 + 2) / 2  # the mean of the outputs
    np.testing.assert_allclose(by, 1e-9 * (9 + 6 * first) / 2, rtol=1e-5)
    twice = bare.passed(bare.Pass("learn", apply, params, inputs, 2, True))
    x, theta = np.asarray(inputs, float), np.asarray(params, float)
    for _ in range(2):
        theta = theta - 1e-6 * x.T @ (x @ theta)  # of half the sum of two squares
    np.testing.assert_allclose(twice.step(twice.start)[0], theta, rtol=1e-7)
    both = bare.together([forward, twice])
    assert jax.tree.structure(both.step(both.start)) == jax.tree.structure(both.start)


def needed(fn, *args):
    """The operations of the products that the results of a function depend on."""
    jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
    return operations(products(partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[0]))


@pytest.mark.parametrize("agent", ["ppo", "sac"])
def test_bare_passes_have_the_products_of_the_agent(agent):
    own = {"hidden": (8, 8), "num_envs": 4}
    own |= {} if agent == "ppo" else {"batch_size": 16, "warmup": 64, "buffer_size": 256}
    env = "Pendulum-v1" if agent == "sac" else "CartPole-v1"
    setup, hp = shares.assembled(shares.Setting(agent, env, own))
    run = jax.eval_shape(setup.experiment.init, jax.random.key(0))
    whole = needed(lambda run: setup.experiment.step(run)[0], run)

    def passes():
        parts = bare.together([bare.passed(item) for item in PASSES[agent](setup.env.spec, hp)])
        return parts.step(parts.start)

    assert needed(passes) == pytest.approx(whole, rel=0.01)


def test_shares_are_medians_of_ratios_within_turns():
    turns = {"whole": [10.0, 20.0, 10.0], "environment": [1.0, 2.0, 5.0], "passes": [4.0, 8.0, 4.0],
             "buffer": [1.0, 2.0, 1.0], "optimiser": [2.0, 4.0, 2.0]}  # fmt: skip
    found = shares.shares(turns)
    assert found == pytest.approx(
        {"environment": 0.1, "passes": 0.4, "buffer": 0.1, "optimiser": 0.2, "share": 0.8}
    )
    report = {"rows": {"ppo-small": {"wall": turns, "processor": turns}}}
    text = shares.table(report)
    assert "| ppo-small | 1e+04 | 0.10 | 0.40 | 0.10 | 0.20 | 0.80 | 0.80 |" in text
    assert "0 of 1 shares are at least the target of 0.95." in text


def test_attainable_rates_are_limited_by_products_or_by_bytes():
    machine = roofline.Attained(flops=100.0, bytes=10.0)
    assert roofline.attainable(30.0, 6.0, machine) == 50.0
    assert roofline.attainable(300.0, 6.0, machine) == 100.0
    x, y = jnp.ones((8, 16)), jnp.ones((16, 32))
    assert roofline.counted(bare.Part(lambda x: x @ y, x))["flops"] >= 2 * 8 * 16 * 32
    rows = {"machine": {"flops": 1e9, "bytes": 1e9}}
    rows["ppo-small"] = {"act": {"flops": 1e6, "bytes": 2e6, "seconds": 4e-3}}
    assert "| ppo-small | act | 1 | 2 | 0.5 | 0.25 | 0.5 | 0.50 |" in roofline.table({"rows": rows})


def test_factors_of_products_are_rounded_in_loops_and_gradients():
    """Against numpy, whose products are of factors that were rounded to bfloat16 before."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=size).astype(np.float32) for size in ((6, 5), (5, 5)))
    few = lambda x: np.asarray(x, jnp.bfloat16).astype(np.float32)
    total = lambda w: jax.lax.scan(lambda c, _: (c @ w, None), x, None, 2)[0].sum()
    ones = np.ones((6, 5), np.float32)
    middle = few(x) @ few(w)
    slope = few(middle).T @ ones + few(x).T @ few(ones @ few(w).T)
    found = jax.jit(precision.emulated(jax.grad(total)))(w)
    np.testing.assert_allclose(found, slope, atol=1e-5)
    assert np.abs(jax.grad(total)(w) - slope).max() > 1e-2


def test_a_precision_is_within_the_intervals_if_both_differences_may_be_zero():
    full = np.random.default_rng(0).normal(size=(8, 5))
    signs = np.resize([[1.0], [-1.0]], (8, 1))
    row = {"steps": 1e4, "seconds": {"float32": 1.0, "bfloat16": 2.0}}
    for shift, within in ((0.0, True), (9.0, False)):
        other = full + signs + shift
        found = row | {"curves": {"float32": full.tolist(), "bfloat16": other.tolist()}}
        assert precision.compared(found, "bfloat16")["within"] == within
        words = "within the intervals" if within else "different"
        assert f"| {words} | 2 (1) |" in precision.table({"rows": {"x": found}})


def test_costs_in_proportion_to_the_arithmetic():
    quadratic = [(1.0, 4.0), (2.0, 4.0), (4.0, 16.0)]
    assert growth.excess(quadratic, 2.0) == [0.25, 1.0, 1.0]
    assert growth.excess([(10.0, 3.0), (100.0, 6.0)], 0.0) == [2.0, 1.0]
    row = {"64": {"seconds": 2.0, "steps": 20}, "8": {"seconds": 1.0, "steps": 10}}
    text = growth.table({"rows": {"lanes": row}})
    assert "| lanes | 8 | 1e+03 | 10 | 0.25 |\n| lanes | 64 | 2e+03 | 10 | 1.00 |" in text


def test_beginnings_are_medians_beside_the_peer():
    stage = lambda whole: {"before_s": 1.0, "trace_s": 0.1, "lower_s": 0.2, "xla_s": 0.3,
                           "garbage_s": 0.4, "compile_s": whole}  # fmt: skip
    row = {
        OURS: {"cold": [stage(2.0), stage(4.0), stage(3.0)], "warm": [stage(1.0)]},
        beginnings.PEER: {"cold": [stage(4.0)], "warm": [stage(2.0)]},
    }
    first, second = {"compile_s": 5.0, "all_s": 9.0}, {"compile_s": 1.0, "all_s": 4.0}
    command = {"cold": [first], "warm": [second], "import_s": [2.0, 1.0, 1.5]}
    text = beginnings.table({"rows": {"dqn-cartpole": row, "jaxrl train ppo": command}})
    ours = "| dqn-cartpole | jaxrl | 1.00 | 0.10 | 0.20 | 0.30 | 0.40 | 3.00 | 0.75 | 1.00 |"
    assert ours in text
    assert "| jaxrl train ppo | 1.50 | 5.00 | 1.00 | 9.00 | 4.00 |" in text


def test_targets_of_an_accelerator():
    seeds = {"rates": [4e7, 6e7, 5e7], "compile_s": [2.0], "facts": {}, "failure": ""}
    rows = {"ppo-1024-seeds": {OURS: seeds, "rejax": seeds | {"rates": [2e7, 2e7, 2e7]}}}
    rows |= {"product, float32": {"FLOP/s": 8e12}}
    rows |= {"update with 2048 units, float32": {"FLOP/s": 4e12}}
    text = accelerator.table({"rows": rows})
    assert "2.50 (2.00-3.00) | 1.5 |" in text
    assert "has 0.50 of the rate of the product in float32; the target is 0.6." in text
    assert "takes 5e+07 environment steps per second; the target is 5e+07." in text
    for name in accelerator.TRAINING:
        small = accelerator.smaller(accelerator.TRAINING[name])
        assert small.seeds <= 2 and small.task["num_envs"] <= 16


def test_rows_are_kept_and_only_missing_ones_are_measured(tmp_path, capsys):
    path, measured = tmp_path / "rows.json", []

    def measure(name):
        measured.append(name)
        return len(measured)

    kept_rows.continued(path, ["a", "b"], measure, str)
    found = kept_rows.continued(path, ["b", "c"], measure, str)
    assert (found, measured) == ({"b": 2, "c": 3}, ["a", "b", "c"])
    assert "2 of 2: c: 3" in capsys.readouterr().out
    report = json.loads(path.read_text())
    report["machine"]["jax"] = "0.0.1"
    path.write_text(json.dumps(report))
    with pytest.raises(InputError, match="measured with another jax: choose another file"):
        kept_rows.continued(path, ["a"], measure, str)


def test_candidates_take_turns_after_a_first_call_of_each():
    called = []
    runs = {name: lambda name=name: called.append(name) for name in "ab"}
    found = timed.in_turns(runs, repeats=2)
    assert called == ["a", "b"] * 3
    assert [len(found[name]) for name in "ab"] == [2, 2]


@pytest.mark.parametrize(
    "name",
    ["shares", "roofline", "beginnings", "growth", "prefetch", "precision", "accelerator"],
)
def test_unknown_settings_are_refused_before_anything_is_measured(name, capsys, tmp_path):
    assert main(["benchmark", name, "--only", "nothing", "--out", str(tmp_path / "x")]) == 2
    assert f"There is no {name} setting called 'nothing'" in capsys.readouterr().err


def test_a_profile_is_of_the_second_piece_of_training(tmp_path):
    said, folder = [], tmp_path / "profile"
    recorded, nothing = profiler(folder, said.append), profiler(None, said.append)
    there = []
    for _ in range(3):
        with recorded(), nothing():
            jnp.ones(3).sum().block_until_ready()
        there.append(len(list(folder.rglob("perfetto_trace.json.gz"))))
    assert there == [0, 1, 1] and len(said) == 1 and str(folder) in said[0]


def test_a_peer_of_an_accelerator_must_be_there(capsys):
    assert main(["benchmark", "accelerator", "--rejax", "/nowhere/python"]) == 2
    assert "--rejax needs the path of a Python" in capsys.readouterr().err
