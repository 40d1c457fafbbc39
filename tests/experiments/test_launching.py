"""The parts of a sweep as jobs, with an executor that only notes them."""

import contextlib
import sys
from types import SimpleNamespace

import pytest

from experiments import configuration, launching
from experiments.cli import main

WORDS = """
sweep q-learning --env chain --num-envs 2 --rollout-length 4 --learning-rate 0.1 0.2 --seeds 2
--steps 64 --members-at-once 3
"""
SWEEP = WORDS.split()


@pytest.fixture
def cluster(monkeypatch):
    """An executor in the place of submitit's, and what it was asked."""
    asked = SimpleNamespace(jobs=[], made=None, own=None)

    class AutoExecutor:
        def __init__(self, folder, cluster):
            if cluster == "slurm":
                raise RuntimeError("Could not detect srun.")
            asked.made = (folder, cluster)

        def update_parameters(self, **own):
            asked.own = own

        def batch(self):
            return contextlib.nullcontext()

        def submit(self, part):
            asked.jobs.append(part)
            return part

    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(AutoExecutor=AutoExecutor))
    return asked


def test_each_part_of_a_sweep_is_a_job(cluster, tmp_path, capsys):
    out = tmp_path / "sweep"
    words = ["launch", "local", "--minutes", "7", "--gpus", "1", "--at-once", "3", *SWEEP]
    assert main([*words, "--out", str(out)]) == 0
    assert "2 jobs train 4 members" in capsys.readouterr().out
    assert cluster.made == (out / "jobs", "local")
    assert cluster.own["timeout_min"] == 7 and cluster.own["gpus_per_node"] == 1
    assert cluster.own["slurm_array_parallelism"] == 3 and "slurm_partition" not in cluster.own
    parts = configuration.parts(configuration.load(out), out)
    assert [(job.folder, job.index) for job in cluster.jobs] == [(str(out), 0), (str(out), 1)]
    assert [(place.name, members) for place, members in parts] == [
        ("part-0", slice(0, 3)),
        ("part-1", slice(3, 4)),
    ]


def test_what_cannot_be_launched_is_said_in_a_sentence(cluster, tmp_path, capsys, monkeypatch):
    said = lambda *words: (main(["launch", *words]), capsys.readouterr().err.splitlines()[-1])
    assert said("slurm", "train", "ppo") == (
        2,
        "jaxrl: jaxrl launch needs a sweep, as in jaxrl launch slurm --minutes 60 sweep ppo "
        "--env CartPole-v1 --learning-rate 1e-4 1e-3 --members-at-once 8.",
    )
    code, text = said("slrum", *SWEEP)
    assert code == 2 and "There is no cluster called 'slrum': did you mean slurm?" in text
    out = ["--out", str(tmp_path / "sweep")]
    code, text = said("slurm", *SWEEP, *out)
    assert code == 2 and "There is no slurm here: Could not detect srun." in text
    code, text = said("local", "--address", "auto", *SWEEP, *out)
    assert code == 2 and "--address needs the cluster ray." in text
    monkeypatch.setitem(sys.modules, "ray", None)
    code, text = said("ray", *SWEEP, *out)
    assert code == 2 and "pip install 'jaxrl[ray]'" in text
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, text = said("local", *SWEEP, *out)
    assert code == 2 and "pip install 'jaxrl[slurm]'" in text


def test_tasks_of_ray_run_so_many_at_once_and_their_failures_are_told(tmp_path, capsys):
    """By a ray that runs the task when it is waited for; the second of three parts fails."""
    running, most = [], []

    class Task:
        def __init__(self, own):
            self.own = own

        def remote(self, part):
            running.append(part)
            most.append(len(running))
            return part

    def get(part):
        if part.index == 1:
            raise RuntimeError("Ray's own lines.\n\nThe disk is full.")

    def wait(parts):
        running.remove(parts[0])
        return parts[:1], parts[1:]

    asked = []
    remote = lambda **own: lambda call: asked.append(own) or Task(own)
    ray = SimpleNamespace(remote=remote, get=get, wait=wait)
    chosen = launching.LaunchOptions(cpus=3, gpus=1, memory=0.5, at_once=2)
    parts = [launching.Part(str(tmp_path), i) for i in range(3)]
    assert launching.play(ray, parts, chosen) == ["The disk is full."]
    assert max(most) == 2 and running == []
    own = {"num_cpus": 3, "num_gpus": 1, "memory": 2**29}
    assert asked[0] == own | {"max_retries": 10}
