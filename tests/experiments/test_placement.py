"""What a person asks for of devices, processes and precision, and what is counted of a program."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from experiments import communication, liveness, placement, planning, precision, processes
from jaxrl import buffers
from jaxrl.errors import InputError
from jaxrl.population import mesh_of
from jaxrl.types import Run, count
from jaxrl.updates import Learner
from jaxrl.updates.offpolicy import Replay


def test_devices_are_asked_for_in_words():
    assert placement.asked("") == {} and placement.asked("data=4, members=2") == {
        "data": 4,
        "members": 2,
    }
    assert placement.shards("data=4", 0) == 4 and placement.shards("data=2", 8) == 8
    assert placement.shards("", 0) == 1 and placement.shards("members=2", 3) == 3
    for text, match in (
        ("data=0", "takes numbers of devices such as data=4,members=2, not 'data=0'"),
        ("data", "not 'data'"),
        ("model=2", "no axis of devices called 'model'"),
        ("data=2,data=4", "gives data twice"),
    ):
        with pytest.raises(InputError, match=match):
            placement.asked(text)
    with pytest.raises(InputError, match="data=4 devices do not divide 6 shards"):
        placement.shards("data=4", 6)


def test_processes_are_asked_for_in_words():
    words = "coordinator=host:1234,processes=2,process=1"
    assert processes.parsed("auto") == {}
    assert processes.parsed(words) == {
        "coordinator_address": "host:1234",
        "num_processes": 2,
        "process_id": 1,
    }
    for text in ("host:1234", words.replace("process=1", "process=2"), words.replace(":1234", "")):
        with pytest.raises(InputError, match="--distributed takes auto, or all of"):
            processes.parsed(text)


PROGRAM = """\
HloModule jit_f, entry_computation_layout={()->f32[]}

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(f32[] %x, f32[] %y)
}

%inner (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %g = f32[8,4]{1,0} get-tuple-element((s32[], f32[8,4]) %p), index=1
  %all = (f32[8,4]{1,0}, bf16[3]{0}) all-reduce(f32[8,4]{1,0} %g, bf16[3]{0} %h), to_apply=%add
  ROOT %t = (s32[], f32[8,4]) tuple(s32[] %i, f32[8,4]{1,0} %all.0)
}

%outer (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  ROOT %w = (s32[], f32[8,4]) while((s32[], f32[8,4]) %p), condition=%cond, body=%inner, \
backend_config={"known_trip_count":{"n":"5"}}
}

ENTRY %main (a: f32[8,4]) -> f32[8,4] {
  %w = (s32[], f32[8,4]) while((s32[], f32[8,4]) %t), condition=%cond, body=%outer
  ROOT %g = u8[16]{0} all-gather(u8[4]{0} %a), dimensions={0}
}
"""


def test_traffic_of_loops_counts_as_often_as_they_run():
    """By hand: 2 x 5 reductions of 8 x 4 floats and 3 halves, and 16 bytes gathered."""
    found = communication.traffic(PROGRAM, trips=2)
    assert found == {"all-reduce": (10, 10 * (128 + 6)), "all-gather": (1, 16)}


def test_traffic_of_a_compiled_program_is_what_it_averages():
    """A loop of three steps that each average 40 numbers over four devices."""
    mesh = mesh_of(jax.devices()[:4], data=4)

    def mean(x):
        step = lambda i, x: jnp.sin(jax.lax.pmean(x, "data"))
        return jax.lax.fori_loop(0, 3, step, x)

    part = jax.sharding.PartitionSpec("data")
    spread = jax.shard_map(mean, mesh=mesh, in_specs=part, out_specs=part, check_vma=False)
    text = jax.jit(spread).lower(jnp.ones((4, 40))).compile().as_text()
    assert communication.traffic(text) == {"all-reduce": (3, 3 * 160)}


def test_the_peak_of_what_lives_at_once():
    """By hand, in arrays of 4 KB: what is fused is not kept, and a loop holds what it makes."""
    x = jnp.ones((32, 32))
    peak = lambda fn, *owned: liveness.peak_bytes(jax.make_jaxpr(fn)(x).jaxpr, owned) // 4096
    assert peak(lambda x: jnp.sin(x) + 1) == 1
    assert peak(lambda x: jnp.sin(x) + 1, 0) == 0  # in the place of the argument
    # Of a chain of products, a factor and its product live at once.
    assert peak(lambda x: ((x @ x) @ x) @ x) == 2
    assert peak(lambda x: jnp.sin(x @ x) @ (jnp.cos(x) @ x)) == 3
    stacked = lambda x: jax.lax.scan(lambda c, _: (c @ x, c), x, None, 8)[1]
    assert peak(stacked) in (9, 10, 11)  # eight, what is carried, and its successor


def test_a_plan_that_does_not_fit_says_how_many_members_would(monkeypatch):
    """By hand: of ten megabytes one is the data set's, and each of four members takes three."""
    monkeypatch.setattr(planning.memory, "memory_bytes", lambda: 10 * 2**20)
    config = SimpleNamespace(hyperparameters={"num_envs": 1, "hidden": (8,)})
    plan = {"parameters": 4 * 2**20, "temporaries": 8 * 2**20, "data set": 2**20}
    with pytest.raises(InputError) as told:
        planning.require_fits(plan, 4, config)
    assert str(told.value) == (
        "Training takes about 13 MiB of 10 MiB: temporaries 8.0 MiB, parameters 4.0 MiB, data set "
        "1.0 MiB; 3 of the 4 members fit: try fewer --seeds, --members-at-once, or a smaller "
        "--num-envs or --hidden."
    )
    with pytest.raises(InputError, match="not even one member fits: try a smaller --num-envs or"):
        planning.require_fits(plan, 1, config)
    compiled = SimpleNamespace(memory_analysis=lambda: SimpleNamespace(temp_size_in_bytes=2**20))
    planning.require_fits(planning.confirmed(plan, compiled, 3), 4, config)


def test_a_plan_has_the_bytes_of_a_run_by_what_they_are_for():
    params = {"w": jnp.zeros((10, 10)), "b": jnp.zeros(10)}
    learner = Learner(params, params, (params, params), count())
    buffer = buffers.init({"x": jnp.zeros((2, 3, 5))}, rows=4)
    run = Run(Replay(learner, buffer), (jnp.zeros(7),), jnp.zeros(2, jnp.uint32), count())
    assert planning.parts_of(run) == {
        "parameters": 440, "targets": 440, "optimiser": 880 + 4, "replay": 4 * 3 * 5 * 4 + 4,
        "environments": 28, "statistics": 8 + 4,
    }  # fmt: skip


def test_a_precision_that_a_device_does_not_have_is_refused():
    with precision.multiplied_in("float32"):
        assert jax.config.jax_default_matmul_precision == "float32"
    before = jax.config.jax_default_matmul_precision
    with precision.multiplied_in(""):
        assert jax.config.jax_default_matmul_precision == before
    with pytest.raises(InputError, match="no precision called 'float8'"):
        precision.require_precision("float8")
    for name in ("tensorfloat32", "bfloat16"):
        with pytest.raises(InputError, match=f"A processor has no products in {name}"):
            precision.require_precision(name)
