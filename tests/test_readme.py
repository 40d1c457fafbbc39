"""What the README and the pages of the site show works.

Python blocks are run from the top of a page to its bottom, and the README's shell block too. Those
of other pages are read: their commands must be valid. Blocks of `py` and `sh` are only shown.
"""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from agents import AGENTS
from experiments.cli import main
from experiments.named import REPRODUCTIONS
from jaxrl.loop import assemble

ROOT = Path(__file__).parents[1]
PAGES = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/**/*.md"))]


def blocks(language, page="README.md"):
    """The fenced blocks of a language on a page, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def shown():
    """What the Python blocks define; nothing is trained, and there is no results folder."""
    train, policy, *rest = blocks("python")
    namespace: dict = {}
    exec("\n".join([train.partition("result =")[0], *rest]), namespace)
    return namespace | {"policy": policy}


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "thermostat"])
def test_the_agent_learns_from_discrete_and_continuous_actions(shown, name):
    env = shown["env"] if name == "thermostat" else shown["envs"].make(name)
    hp = AGENTS["ppo"].defaults.replace(num_envs=2, rollout_length=8)
    experiment = assemble(shown["reinforce"], env, hp).experiment
    _, metrics = jax.jit(lambda key: experiment.step(experiment.init(key)))(jax.random.key(0))
    assert np.isfinite(metrics["policy_loss"]) and np.isfinite(metrics["value_loss"])


@pytest.mark.thorough
def test_the_shell_block_runs_from_top_to_bottom(shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # The same commands with less of everything: it is their order and their words that are tested.
    few = {"--seeds": "2", "--steps": "64"}
    small = "--num-envs 4 --rollout-length 8 --minibatches 1 --epochs 1 --hidden 8 --no-animation"
    replay = "--buffer-size 64 --warmup 16 --batch-size 8 --hidden 8 --no-animation"
    less = "--evaluations 2 --episodes 2 --max-episode-steps 20"
    for line in blocks("shell")[0].splitlines():
        words = line.split()[1:]
        for flag, value in few.items():
            if flag in words:
                words[words.index(flag) + 1] = value
        if words[0] in ("train", "sweep") and "--resume" not in words:
            words += f"{less} {small if words[1] == 'ppo' else replay}".split()
        if "--resume" in words:
            words[words.index("--steps") + 1] = "128"
        if words[0] == "sweep":
            words.remove("--no-animation")
        assert main(words) == 0, line
    namespace = {"jax": jax, "jaxrl": __import__("jaxrl")}
    exec(shown["policy"], namespace)
    assert int(namespace["action"]) in (0, 1)


def test_the_page_on_extending_runs_from_top_to_bottom():
    """Nothing is trained there; the loss of a state value and a group's advantage are tried."""
    namespace: dict = {}
    exec("\n".join(blocks("python", "docs/extending.md")), namespace)

    @jax.jit
    def tried(key):
        v, values = namespace["v"], namespace["values"]
        params, obs = v.init(key), jax.random.normal(key, (3, 4))
        loss = namespace["implicit_loss"](params, obs, values.dirac(jax.random.normal(key, (3,))))
        env = namespace["reaching"]
        return loss, env.step(env.init(key)[0], jax.numpy.zeros(1), key)[1].reward

    loss, reward = tried(jax.random.key(0))
    assert (np.asarray(loss) > 0).all() and reward in (-1, 0)


SHOWN = [page for page in PAGES if blocks("python", page) and page != "docs/extending.md"]


@pytest.mark.thorough
@pytest.mark.parametrize("page", SHOWN)
def test_the_python_blocks_of_a_page_run(page):
    exec("\n".join(blocks("python", page)), {"__name__": page})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks("shell", page)])
def test_the_commands_of_a_page_are_valid(page, tmp_path, monkeypatch, capsys):
    """Nothing is trained, so that what wants a results folder may say that there is none."""
    monkeypatch.chdir(tmp_path)
    for place in ("commands.run", "sweeps.run_sweep", "tuning.command.search",
                  "tuning.command.evolve"):  # fmt: skip
        monkeypatch.setattr(f"experiments.{place}", lambda *args: None)
    for line in "".join(blocks("shell", page)).splitlines():
        code = main(line.split()[1:])
        told = capsys.readouterr().err
        assert code == 0 or re.match(r"jaxrl: runs/\S+ (is not|has no|does not)", told), line + told


def test_every_reproduction_that_a_page_names_exists():
    pages = "".join((ROOT / page).read_text() for page in PAGES)
    named = set(re.findall(r"jaxrl reproduce ([\w-]+)", pages))
    assert named and named <= set(REPRODUCTIONS)
