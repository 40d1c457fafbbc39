"""`jaxrl train AGENT --frozen FOLDER`: agents that a trained policy acts beside."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl
from experiments import building, configuration, frozen, run_data
from experiments.cli import main
from jaxrl.errors import InputError
from tests.experiments.runs import table

TINY = "--num-envs 2 --rollout-length 2 --batch-size 8 --evaluations 1 --episodes 1 --seeds 2"
TINY = f"{TINY} --max-episode-steps 5 --hidden 6 --no-animation".split()
ONLINE = ["--warmup", "8", "--buffer-size", "64", "--steps", "24"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two seeds of a flow that clones random actions of Pendulum."""
    folder = tmp_path_factory.mktemp("frozen")
    data, out = str(folder / "random.npz"), str(folder / "flow")
    words = ["dataset", "random", "--env", "Pendulum-v1", "--steps", "64", "--out", data]
    assert main(words) == 0
    words = ["train", "flow-bc", "--env", "Pendulum-v1", "--steps", "16", "--denoising-steps", "2"]
    words += ["--normalise-observations", "--dataset", data, "--out", out]
    assert main([*words, *TINY]) == 0
    return folder / "flow"


def of_agent(base, name, **options):
    """A configuration of an agent beside the flow, as its options say."""
    before = configuration.load(base)
    own = configuration.records.flat(configuration.AGENTS[name].defaults)
    own |= {"num_envs": 2, "rollout_length": 2, "warmup": 8, "buffer_size": 64, "batch_size": 8}
    own |= {"hidden": (6,)} | options
    dataset = before.dataset if own.get("data_share") else ""
    return dataclasses.replace(
        before, agent=name, hyperparameters=own, frozen=str(base), dataset=dataset, data={}
    )


@pytest.mark.thorough
def test_an_agent_edits_a_flow_with_half_of_its_data_and_is_loaded_with_it(base, tmp_path):
    out = tmp_path / "resfit"
    words = ["train", "resfit", "--frozen", str(base), "--edit-size", "0.5", *ONLINE, *TINY]
    own = "--ensemble.members 2 --updates 1 --actor-period 1 --n-step 1"
    words += [*own.split(), "--out"]
    assert main([*words, str(out)]) == 0
    config = configuration.load(out)
    assert config.env == "Pendulum-v1" and config.dataset.endswith("random.npz")
    assert config.frozen_of["agent"] == "flow-bc"
    assert {row["env_steps"] for row in table(out)} == {"8", "24"}
    # The policy that is left behind acts in Pendulum itself, within reach of what the flow does.
    obs = jnp.array([0.6, 0.8, 1.0])
    found = np.asarray(jaxrl.load(out)(jnp.tile(obs, (16, 1)), jax.random.key(3)))
    mine = np.asarray(jaxrl.load(base)(jnp.tile(obs, (400, 1)), jax.random.key(4)))
    assert found.shape == (16, 1) and found.std() > 0.1
    assert (found >= max(mine.min() - 1.1, -2)).all() and (found <= min(mine.max() + 1.1, 2)).all()
    # It resumes, from where the flow is now; another flow is refused.
    moved = base.rename(base.with_name("moved"))
    try:
        resume = ["train", "--resume", str(out), "--steps", "32", "--no-animation"]
        assert main([*resume, "--frozen", str(moved)]) == 0
    finally:
        moved.rename(base)
    assert {row["env_steps"] for row in table(out)} == {"8", "24", "32"}


def test_noise_is_steered_and_correctors_follow(base):
    for name in ("dsrl", "hil-serl"):
        building.validate(of_agent(base, name))
    told = run_data.load_data(of_agent(base, "dsrl", data_share=0.5))
    assert not told.action.any() and told.signals.std() > 0.1
    # What the noise makes is what the flow does, which standardises its observations.
    kept = frozen.read(str(base))
    decode = configuration.AGENTS["flow-bc"].of_noise(kept.spec, kept.hp, kept.view)
    obs, key = jnp.array([[0.6, 0.8, 1.0]]), jax.random.key(0)
    noise = jax.random.normal(jax.random.split(key)[0], (1, 1))
    action, _, _ = kept.actor.step(kept.view, (), obs, key)
    np.testing.assert_allclose(decode(obs, noise), action, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("resfit --env Pendulum-v1 --data-share 0", "resfit needs a trained policy that acts"),
        ("resfit --env Pendulum-v1 --data-share 0 --frozen GONE", "GONE is not a results folder"),
        ("sac --frozen BASE", "No trained policy acts beside sac: leave --frozen out"),
        ("dsrl --frozen BASE --env MountainCarContinuous-v0", "of shape (3,), but this env"),
        ("hil-serl --frozen BASE --dataset DATA", "hil-serl learns beside its corrector, without"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(base, tmp_path, capsys, words, sentence):
    given = words.replace("BASE", str(base)).replace("DATA", configuration.load(base).dataset)
    assert main(["train", *given.split(), "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") <= 4 and "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_another_policy_in_the_same_place_is_refused(base):
    config = frozen.described(of_agent(base, "hil-serl"))
    assert json.loads(json.dumps(config.frozen_of)) == config.frozen_of
    other = dataclasses.replace(config, frozen_of=config.frozen_of | {"fingerprint": 0})
    with pytest.raises(InputError, match="not the run that this one was begun with"):
        building.validate(other)
