"""Bad input is one sentence on stderr and exit code 2: nothing compiled, nothing overwritten."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.cli import main
from experiments.invocation import folder_of
from jaxrl.errors import InputError
from tests.experiments.runs import files

TRAIN = "train ppo --env CartPole-v1"


@pytest.fixture
def refused(monkeypatch, capsys):
    """A function that runs the command and returns the sentence with which it refuses."""

    def no(*arguments):
        raise AssertionError("training was started")

    monkeypatch.setattr("experiments.training.programmed", no)

    def refused(words: str, *parts: str) -> None:
        code = main(words.split())
        told = capsys.readouterr()
        assert code == 2
        assert told.out == ""
        assert told.err.startswith("jaxrl: ") and told.err.count("\n") == 1, told.err
        assert told.err.endswith((".\n", "?\n")) and len(told.err) < 500, told.err
        for part in parts:
            assert part in told.err, told.err

    return refused


@pytest.mark.parametrize(
    "words, parts",
    [
        ("trian ppo", ["command", "'trian'", "train"]),
        ("train", ["needs an agent", "such as ppo", "`jaxrl list agents`"]),
        ("train pppo --env CartPole-v1", ["agent", "'pppo'", "did you mean ppo"]),
        ("train ppo", ["--env"]),
        ("train ppo --env CartPole-v2", ["environment", "'CartPole-v2'", "CartPole-v1"]),
        ("train ppo --env cartpole-v1", ["CartPole-v1"]),
        (f"{TRAIN} --learnin-rate 1e-3", ["'--learnin-rate'", "--learning-rate"]),
        (f"{TRAIN} --learning-rate fast", ["--learning-rate", "fast"]),
        (f"{TRAIN} --learning-rate nan", ["learning_rate", "nan"]),
        (f"{TRAIN} --learning-rate -1e-3", ["learning_rate", "above zero"]),
        ("train ppo CartPole-v1", ["'CartPole-v1'", "--env"]),
        ("benchmark speed mbpo", ["'mbpo'", "--only"]),
        (f"{TRAIN} --learning-rate 1e-3 3e-3", ["'3e-3'", "sweep"]),
        (f"{TRAIN} --learning-rate", ["--learning-rate"]),
        (f"{TRAIN} --env-params lenght=0.7", ["'lenght'", "length"]),
        (f"{TRAIN} --reward preferences", ["ppo", "agents that replay", "sac"]),
        (f"{TRAIN} --reward prefernces", ["'prefernces'", "did you mean preferences"]),
        ("train dqn --env chain --reward preferences label=5", ["'label'", "labels"]),
        ("train dqn --env chain --reward preferences labels=5", ["queries 20", "labels 5"]),
        ("train dqn --env chain --reward preferences restart_critics=true", ["set exploration"]),
        ("train dqn --env chain --reward preferences mistakes=2", ["mistakes", "between 0 and 1"]),
        (f"{TRAIN} --env-params length", ["name=value", "'length'"]),
        (f"{TRAIN} --env-params length=long", ["length", "long"]),
        (f"{TRAIN} --num-envs 2.5", ["--num-envs", "2.5", "whole number"]),
        (f"{TRAIN} --steps inf", ["--steps", "inf", "whole number"]),
        (f"{TRAIN} --activation sine", ["sine", "tanh"]),
        ("train dqn --env Pendulum-v1", ["dqn", "discrete"]),
        ("train sac --env CartPole-v1", ["sac", "continuous"]),
        (f"{TRAIN} --minibatches 7", ["7", "16"]),
        ("train dqn --env CartPole-v1 --buffer-size 10", ["buffer_size", "10"]),
        ("train dqn --env CartPole-v1 --buffer-memory disk", ["'disk'", "device, host"]),
        ("train dqn --env CartPole-v1 --buffer-memory host --prioritised", ["on the device"]),
        ("train sac --env Pendulum-v1 --buffer-memory host --shards 2", ["not for several shards"]),
        ("train c51 --env CartPole-v1 --critic.famly x", ["'--critic.famly'", "--critic.family"]),
        ("train c51 --env CartPole-v1 --critic.family c51", ["critic family", "categorical"]),
        ("train c51 --env CartPole-v1 --critic.spacing log", ["spacing", "symlog"]),
        ("train c51 --env CartPole-v1 --critic.low 200", ["low", "200", "110"]),
        ("train c51 --env CartPole-v1 --critic.atoms 1", ["two atoms", "1"]),
        ("train qr-dqn --env CartPole-v1 --critic.kappa -1", ["kappa", "-1"]),
        ("train ppo --env CartPole-v1 --critic.family implicit-quantile", ["ppo", "implicit"]),
        ("train cvar-dqn --env CartPole-v1 --objective.level 2", ["level", "2"]),
        ("train cvar-dqn --env CartPole-v1 --objective.statistic cvr", ["cvr", "cvar"]),
        ("sweep c51 --env CartPole-v1 --critic.high 50 -200", ["low", "-110", "-200"]),
        ("train munchausen-dqn --env CartPole-v1 --n-step 3", ["n_step", "3"]),
        ("train pqn --env Pendulum-v1", ["pqn", "discrete"]),
        ("sweep ppo --env CartPole-v1", ["several values"]),
        ("sweep ppo --env CartPole-v1 --discount 0.9 1.5", ["discount", "1.5"]),
        ("sweep ppo --env CartPole-v1 --clip 0.1 0.2 --members-at-once -1", ["--members-at-once"]),
        ("sweep ppo --env CartPole-v1 --discount --clip 0.1 0.2", ["--discount"]),
        (f"{TRAIN} --seed 4294967290", ["seed", "4294967297"]),
        ("sweep ppo --env CartPole-v1 --clip 0.1 inf", ["clip", "inf"]),
        ("train dqn --env CartPole-v1 --buffer-size 1e12", ["buffer_size", "536870912"]),
        (
            "train dqn --env CartPole-v1 --buffer-size 536870912 --seeds 1000",
            ["--buffer-size", "GiB"],
        ),
        ("evaluate", ["folder"]),
        ("evaluate nowhere", ["nowhere", "config.json"]),
        ("plot", ["folder"]),
        ("plot nowhere", ["nowhere"]),
        ("train --resume nowhere", ["nowhere", "config.json"]),
        ("sweep --resume nowhere", ["nowhere", "config.json"]),
        ("list all", ["list"]),
        ("benchmark", ["a name", "jaxrl benchmark --help"]),
        ("benchmark sped", ["speed"]),
        ("reproduce", ["a name", "jaxrl reproduce --help"]),
        ("reproduce robbust", ["robust"]),
        ("reproduce rates --atom 3", ["--atoms"]),
        ("--versio", ["'--versio'", "command"]),
        ("train PPO --env CartPole-v1", ["'PPO'", "did you mean ppo"]),
        (f"{TRAIN} --steps", ["--steps needs a value"]),
        (f"{TRAIN} --steps nan", ["--steps", "whole number", "'nan'"]),
        (f"{TRAIN} --steps 1e400", ["--steps", "whole number"]),
        (f"{TRAIN} --steps=", ["--steps", "''"]),
        (f"{TRAIN} --seeds 1.5", ["--seeds", "whole number", "'1.5'"]),
        (f"{TRAIN} --seed -1", ["seed", "negative"]),
        (f"{TRAIN} --seed 5e9", ["seed", "2**32"]),
        (f"{TRAIN} --seed 4294967290", ["seed", "2**32"]),
        (f"{TRAIN} --learning-rate -inf", ["learning_rate", "-inf"]),
        (f"{TRAIN} --hidden", ["--hidden needs at least one value"]),
        (f"{TRAIN} --hidden 8 x", ["--hidden", "'x'"]),
        (f"{TRAIN} --seeds 2 --seeds 3", ["--seeds is given twice"]),
        (f"{TRAIN} --cache --no-cache", ["--cache is given twice"]),
        (f"{TRAIN} --num-envs 8 16", ["--num-envs", "static", "'8' and '16'"]),
        (f"{TRAIN} extra", ["--env takes one value", "'extra'"]),
        (f"{TRAIN} --animation yes", ["--animation or --no-animation", "'yes'"]),
        (f"{TRAIN} --animation=1", ["takes no value", "--no-animation"]),
        (f"{TRAIN} --log tensorbord", ["tensorbord", "tensorboard"]),
        (f"{TRAIN} --log jsonl jsonl", ["twice"]),
        ("plot nowhere --statistic iqn", ["iqn", "iqm"]),
        ("compare", ["results folders"]),
        ("compare nowhere", ["nowhere"]),
        (f"{TRAIN} -e 3", ["'-e'", "--env"]),
        (f"{TRAIN} --Seeds 3", ["did you mean --seeds"]),
        (f"{TRAIN} --critic.foo 1", ["'--critic.foo'", "--critic.low"]),
        (f"{TRAIN} --out=", ["--out", "''"]),
        (f"{TRAIN} --resume", ["--resume needs a results folder"]),
        (f"{TRAIN} --save-every 0", ["save_every", "above zero"]),
        (f"{TRAIN} --save-every nan", ["save_every"]),
        (f"{TRAIN} --env-params", ["--env-params needs at least one value"]),
        (f"{TRAIN} --env-params =3", ["name=value", "'=3'"]),
        (f"{TRAIN} --env-params length=", ["name=value", "'length='"]),
        (f"{TRAIN} --env-params length=nan", ["length must be a finite number"]),
        (f"{TRAIN} --env-params length=1 length=2", ["length twice"]),
        (f"{TRAIN} --env-params length={{}}", ["length", "'{}'"]),
        (f"{TRAIN} --dataset nowhere", ["ppo does not replay"]),
        ("train dqn --env CartPole-v1 --dataset nowhere", ["nowhere is not a data set"]),
        ("train ppo --env CartPol\u00e9", ["CartPol\u00e9", "CartPole-v1"]),
        ("train ppo --env brax/ant --env-params backend=foo", ["backend", "'foo'", "spring"]),
        ("train ppo --env chain --env-params length=0", ["length", "0"]),
        ("sweep", ["needs an agent"]),
        ("sweep --resume", ["--resume needs a results folder"]),
        (
            "sweep ppo --env CartPole-v1 --num-envs 8 16",
            ["--num-envs", "static", "cannot be swept"],
        ),
        ("sweep ppo --env CartPole-v1 --activation relu tanh", ["--activation", "static"]),
        ("sweep ppo --env CartPole-v1 --clip 0.1 0.1", ["--clip has a value twice"]),
        ("sweep ppo --env CartPole-v1 --clip 0.1 x", ["--clip takes a number", "'x'"]),
        ("evaluate a b", ["'b' is one value too many", "one folder"]),
        ("evaluate nowhere --seed 1e20", ["seed", "2**32"]),
        ("evaluate nowhere --episodes 0", ["episodes", "above zero"]),
        ("evaluate nowhere --episodes", ["--episodes needs a value"]),
        ("evaluate nowhere --sample", ["did you mean --sampled"]),
        ("export", ["jaxrl export needs a folder"]),
        ("export nowhere", ["nowhere", "config.json"]),
        ("export nowhere --seed x", ["--seed", "'x'"]),
        ("dataset", ["needs a source"]),
        ("dataset random", ["--env"]),
        ("dataset random --env-params a=1", ["--env is needed"]),
        ("dataset random --env CartPole-v1 --seed -1", ["seed", "negative"]),
        ("plot nowhere --out x.foo", ["x.foo", "png"]),
        ("list agents nothing", ["'nothing'", "jaxrl list agents"]),
        ("list agents --all", ["takes no options", "'--all'"]),
        ("benchmark speed --repeats 0", ["repeats", "above zero"]),
        ("benchmark buffers x", ["buffers", "no options"]),
        ("benchmark learning --only x", ["claim", "'x'"]),
        ("reproduce --name rates", ["needs a name"]),
        ("reproduce x", ["There is no reproduction called 'x'"]),
        ("reproduce rates --atoms x", ["--atoms", "'x'"]),
    ],
)
def test_one_sentence(words, parts, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(words, *parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["seeds", "steps", "evaluations", "episodes", "max-episode-steps"]
    + ["num-envs", "rollout-length", "minibatches", "epochs", "hidden"],
)
@pytest.mark.parametrize("value", ["0", "-3"])
def test_sizes_are_positive(name, value, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(f"{TRAIN} --{name} {value}", name.replace("-", "_"), value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["batch-size", "buffer-size", "updates", "n-step", "warmup"])
def test_sizes_of_replay_are_positive(name, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(f"train dqn --env CartPole-v1 --{name} -1", name.replace("-", "_"), "-1")


def test_results_folder_exists(trained, refused):
    before = files(trained)
    refused(f"{TRAIN} --out {trained}", str(trained), "exists", "--out", "--resume")
    sweep = f"sweep ppo --env CartPole-v1 --clip 0.1 0.2 --out {trained}"
    refused(sweep, str(trained), "exists")
    refused(f"{TRAIN} --out {trained}/config.json", "exists")
    refused(f"{TRAIN} --out {trained}/config.json/deeper", "cannot be made")
    assert files(trained) == before


@pytest.mark.parametrize(
    "more, parts",
    [
        ("--learning-rate 0.5", ["learning_rate", "0.5"]),
        ("--hidden 8 16", ["hidden", "[8, 8]", "[8, 16]"]),
        ("--seeds 3", ["seeds", "2", "3"]),
        ("--env Acrobot-v1", ["env", "CartPole-v1", "Acrobot-v1"]),
        ("--evaluations 7", ["evaluations"]),
    ],
)
def test_checkpoint_of_another_configuration(more, parts, trained, refused):
    before = files(trained)
    refused(f"train --resume {trained} {more}", "another configuration", *parts)
    assert files(trained) == before


def test_other_ways_to_resume_wrongly(trained, refused, tmp_path):
    before = files(trained)
    refused(f"train dqn --resume {trained}", "another configuration", "ppo", "dqn")
    refused(f"sweep ppo --resume {trained}", "jaxrl train --resume")
    refused(f"train --resume {trained} --out elsewhere", "--out")
    refused(f"train --resume {trained} --steps 64", "go back")
    assert files(trained) == before
    # Arrays of other shapes under a configuration that was changed by hand.
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    config = json.loads((copy / "config.json").read_text())
    config["hyperparameters"]["hidden"] = [8, 4]
    (copy / "config.json").write_text(json.dumps(config))
    refused(f"train --resume {copy}", "another configuration")
    refused(f"evaluate {copy}", "another configuration")


def test_corrupted_checkpoint(trained, refused, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    last = max((copy / "checkpoint").iterdir(), key=lambda path: int(path.name))
    for path in last.rglob("*/d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = files(copy)
    for words in ("train --resume", "evaluate"):
        refused(f"{words} {copy}", str(last), "corrupted", "move that folder away")
    assert {k: v[1] for k, v in files(copy).items()} == {k: v[1] for k, v in before.items()}
    for path in (copy / "checkpoint").iterdir():
        shutil.rmtree(path)
    refused(f"evaluate {copy}", "no complete checkpoint")


def test_corrupted_configuration_and_metrics(trained, refused, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "config.json").write_text("{")
    refused(f"train --resume {copy}", "config.json")
    (copy / "config.json").write_text('{"agent": "ppo"}')
    refused(f"evaluate {copy}", "config.json")
    shutil.copy(trained / "config.json", copy)
    (copy / "metrics.csv").write_text("env_steps,seed\nx,1\n")
    refused(f"plot {copy} --out {tmp_path / 'x.png'}", "metrics.csv")
    assert not (tmp_path / "x.png").exists()


def test_tensorboard_is_missing(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    refused(f"{TRAIN} --log tensorboard --out {tmp_path / 'x'}", "tensorboardX", "pip install")
    assert not (tmp_path / "x").exists()


def test_render_wants_a_gif(trained, refused):
    refused(f"evaluate {trained} --render film.png", ".gif")


def test_names_and_files_with_spaces_are_words(refused, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "no such folder \u00fc"]) == 2
    assert "no such folder \u00fc is not a results folder" in capsys.readouterr().err
    assert main(["train", "ppo", "--env", "Cart Pole"]) == 2
    assert "CartPole-v1" in capsys.readouterr().err
    assert main(["evaluate", ""]) == 2
    assert "''" in capsys.readouterr().err


def test_the_second_run_takes_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = SimpleNamespace(out="", env="brax/ant")
    for name in ("ppo-brax-ant", "ppo-brax-ant-2", "ppo-brax-ant-3"):
        folder = folder_of(words, "ppo")
        assert folder == Path("runs") / name
        folder.mkdir(parents=True)
        assert folder_of(words, "ppo") == folder  # what is empty is free
        (folder / "config.json").touch()
    assert folder_of(SimpleNamespace(out="a b/c", env="x"), "ppo") == Path("a b/c")


def fails_with(error):
    def command(arguments):
        folder = Path("runs") / "x"
        try:
            path = folder / "metrics.csv"
            raise error
        finally:
            del path

    return command


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (PermissionError(13, "Permission denied", "a/b"), 1, "a/b: permission denied."),
        (FileNotFoundError(2, "No such file or directory", "a"), 1, "a: no such file"),
        (OSError(28, "No space left on device"), 1, "runs/x: no space left on device."),
        (MemoryError(), 1, "memory of the device is not enough"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 1, "memory of the device"),
        (InputError("Say it otherwise."), 2, "Say it otherwise."),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_errors_of_people_and_machines_are_one_sentence(error, code, sentence, monkeypatch, capsys):
    monkeypatch.setattr("experiments.commands.plot_command", fails_with(error))
    assert main(["plot"]) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("jaxrl: ") and sentence in told


@pytest.mark.parametrize("kind", [ValueError, TypeError, KeyError, AttributeError, IndexError])
def test_our_own_errors_keep_their_trace(kind, monkeypatch, capsys):
    monkeypatch.setattr("experiments.commands.plot_command", fails_with(kind("oops")))
    assert main(["plot"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told and "oops" in told and "fails_with" not in told.splitlines()[-1]
    assert told.splitlines()[-1].startswith("jaxrl: This is a fault of jaxrl ")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"jaxrl \S.* \(jax \S+, Python \S+\)\n", capsys.readouterr().out)


def test_no_command_at_all(capsys):
    assert main([]) == 2
    assert "usage: jaxrl" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_error():
    words = f"{sys.executable} -m experiments list | true"
    done = subprocess.run(words, shell=True, capture_output=True, text=True)
    assert done.stderr == ""
