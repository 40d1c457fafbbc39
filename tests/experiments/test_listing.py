"""The tables of `jaxrl list`, against what the agents and environments themselves accept."""

import pytest

import envs
from agents import AGENTS
from experiments import about, listing
from experiments.cli import main
from jaxrl import assemble
from jaxrl.errors import InputError
from jaxrl.optimisers import DECAYING, OPTIMISERS
from jaxrl.types import Discrete, MultiDiscrete, Product
from tests.agents.cases import entry_of, world_of


@pytest.fixture(scope="module")
def worlds():
    pendulum = envs.make("Pendulum-v1")
    both = pendulum._replace(
        spec=pendulum.spec._replace(action=Product((Discrete(2), pendulum.spec.action))),
        step=lambda state, action, key: pendulum.step(state, action[1], key),
    )
    return {"discrete": envs.make("chain"), "continuous": pendulum, "products": both}


def test_spaces_are_shown_in_words(worlds):
    shown = lambda space: listing.shown(worlds["discrete"].spec._replace(action=space))[0]
    assert shown(worlds["products"].spec.action) == "2 discrete and 1 continuous"
    assert shown(MultiDiscrete((3, 2))) == "3 x 2 discrete"


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_takes_the_actions_that_are_listed(agent, worlds):
    entry, taken = entry_of(agent), set()
    for kind, env in worlds.items():
        try:
            world = entry.world(world_of(agent, env), entry.defaults)
            assemble(entry.maker(world), world, entry.defaults)
            taken.add(kind)
        except InputError:
            pass
    assert taken == set(about.ABOUT[agent].actions.split(", ")) - {"one-hot"}


def test_every_agent_is_listed_and_words_choose_lines(capsys):
    assert list(about.ABOUT) == list(AGENTS)
    assert main(["list", "agents", "OFFLINE", "model-based"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["agent", "mopo", "combo", "morec", "ravl"]
    assert main(["list", "presets", "dqn", "Acrobot"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert list(about.OPTIMISER_SENTENCES) == list(OPTIMISERS)
    assert main(["list", "optimisers", "decay"]) == 0
    assert [x.split()[0] for x in capsys.readouterr().out.splitlines()][1:] == list(DECAYING)
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in [*AGENTS, *envs.names()])


def test_spaces_of_environments_are_listed_and_remembered(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lines = []
    for _ in range(2):
        assert main(["list", "environments", "e", "bsuite", "memory"]) == 0
        lines.append([line.split() for line in capsys.readouterr().out.splitlines()])
        assert main(["list", "environments", "Pendulum-v1"]) == 0
        lines[-1] += [line.split() for line in capsys.readouterr().out.splitlines()]
        # From the second time on nothing is made.
        monkeypatch.setattr("envs.make", lambda name: pytest.fail(f"{name} is made again"))
    assert lines[0] == lines[1]
    assert lines[0][1] == ["MemoryChain-bsuite", "2", "discrete", "float32", "3"]
    assert lines[0][3] == ["Pendulum-v1", "1", "continuous", "float32", "3"]
    for path in (tmp_path / "jaxrl").iterdir():  # a torn cache is made anew
        path.write_text("{")
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["list", "environments", "Pendulum-v1"]) == 0
