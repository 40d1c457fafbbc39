"""Compiled programs that are kept: the same numbers, and nothing that is out of date."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import building, configuration, learning, population, programs
from experiments.training import train_parts
from tests.experiments.runs import state, table


def forbidden(*args, **kwargs):
    raise AssertionError("This was to be kept, and not made anew.")


def test_a_second_run_traces_nothing_and_is_the_same(trained, tmp_path, monkeypatch):
    config = configuration.load(trained)
    monkeypatch.setattr(programs, "STORE", [])
    programs.keep(tmp_path / "store")
    building.validate(config)
    train_parts(config, tmp_path / "first", False)
    with monkeypatch.context() as patch:
        patch.setattr(learning, "compile_", forbidden)
        patch.setattr(building, "build", forbidden)
        building.validate(config)
        train_parts(config, tmp_path / "second", False)
        # Nor does one of another length, over which the learning rate falls, with other seeds.
        longer = dataclasses.replace(config, steps=512, evaluations=4, seed=7)
        building.validate(longer)
        train_parts(longer, tmp_path / "longer", False)
    assert [row["env_steps"] for row in table(tmp_path / "longer")[-2:]] == ["512", "512"]
    for name in ("first", "second"):
        assert table(tmp_path / name) == table(trained)
        for a, b in zip(state(tmp_path / name), state(trained), strict=True):
            assert a.tobytes() == b.tobytes()
    # What was torn is made anew, and so is what depends on something else.
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert programs.kept("valid", [1], lambda: 5) == 5


def test_the_length_of_a_run_is_an_argument_of_its_programs(trained):
    config = configuration.load(trained)
    ends = []
    for steps in (256, 512):
        hp = config.hyperparameters | {"decay": 0.5}
        points = {"decay": [0.0, 0.25], "decay_steps": [0.0, 100.0]}
        one = dataclasses.replace(config, hyperparameters=hp, steps=steps)
        swept = dataclasses.replace(one, sweep=points, seeds=1)
        ends.append(population.gather(one).hp.optimisation.decay_steps)
        stacked, axes, _ = configuration.member_values(swept)
        np.testing.assert_array_equal(stacked.optimisation.decay_steps, [0, 100])
        assert axes.optimisation.decay_steps == axes.optimisation.decay == 0
        assert axes.optimisation.learning_rate is None
        assert configuration.hyperparameters(swept, 1).optimisation.decay_steps == 100
        alone = dataclasses.replace(swept, sweep={"decay": [0.0, 0.25]})
        stacked, axes, _ = configuration.member_values(alone)
        np.testing.assert_array_equal(stacked.optimisation.decay_steps, [0, 0.25 * steps])
        assert axes.optimisation.decay_steps == 0
    assert ends == [128, 256]
    assert population.identity(config, 2) == population.identity(one, 2)
    deeper = dataclasses.replace(config, hyperparameters=hp | {"hidden": [8]})
    assert population.identity(config, 2) != population.identity(deeper, 2)


def test_what_it_depends_on_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "STORE", [])
    assert programs.kept("x", [1], lambda: "not kept") == "not kept"
    programs.keep(tmp_path / "store")
    assert programs.kept("x", [1], lambda: "one") == "one"
    assert programs.kept("x", [1], lambda: "two") == "one"
    assert programs.kept("x", [2], lambda: "two") == "two"
    assert programs.kept("y", [1], lambda: "three") == "three"
    for path in (tmp_path / "store").iterdir():
        path.write_bytes(path.read_bytes()[:5])
    assert programs.kept("x", [1], lambda: "anew") == "anew"
    with monkeypatch.context() as patch:
        patch.setattr(programs, "surroundings", lambda: "another version")
        assert programs.kept("x", [1], lambda: "other") == "other"
    # What cannot be pickled is returned all the same, and nothing is left behind.
    assert programs.kept("z", [1], lambda: forbidden)
    assert programs.kept("w", [1], lambda: lambda: 3)() == 3
    assert not [path for path in (tmp_path / "store").iterdir() if path.name.startswith("w")]


def test_programs_are_kept_for_a_while(monkeypatch):
    monkeypatch.setattr(programs, "STORE", [])
    with programs.for_now():
        assert programs.kept("x", [1], lambda: "one") == "one"
        with programs.for_now():  # one folder is enough
            assert programs.kept("x", [1], lambda: "two") == "one"
        assert programs.kept("x", [1], lambda: "two") == "one"
        (folder,) = programs.STORE
    assert not programs.STORE and not folder.exists()
    with pytest.raises(KeyError), programs.for_now():
        raise KeyError
    assert not programs.STORE


def test_programs_with_functions_of_lapack_are_kept_and_those_of_python_are_not():
    square = jax.jit(lambda x: jnp.linalg.qr(x)[1]).lower(jnp.eye(3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "STORE", [None])
        square = programs.compiled(square)
    again = programs.unpacked(programs.packed(square))
    np.testing.assert_allclose(again(2 * jnp.eye(3)), square(2 * jnp.eye(3)))
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    asks = jax.jit(lambda x: jax.pure_callback(lambda x: x, shape, x)).lower(1.0).compile()
    with pytest.raises(ValueError, match="cannot be kept"):
        programs.packed(asks)
