"""The command `jaxrl launch`: the parts of a sweep as jobs of a cluster, by submitit or Ray."""

import dataclasses
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from experiments import configuration, placement, results, run_data, sweeps
from experiments.arguments import parse
from jaxrl.errors import InputError, require, require_known, require_positive

CLUSTERS = ("slurm", "local", "ray")


@dataclasses.dataclass(frozen=True)
class LaunchOptions:
    """Train the parts of a sweep as jobs of a cluster.

    The sweep itself is written as for `jaxrl sweep`, behind these options, with --members-at-once:
    each job trains that many members. A preempted job continues from its last checkpoint. When all
    have ended, `jaxrl sweep --resume FOLDER` draws the picture and prints the table. The cluster is
    slurm, ray, or local for processes of this machine. The command returns when jobs are sent; with
    ray it stays until they have ended.
    """

    minutes: int = 60
    """Minutes after which a job is stopped and another one continues it; not with ray."""
    cpus: int = 4
    """Processors of each job."""
    gpus: int = 0
    """GPUs of each job, over which its members and shards are spread."""
    memory: float = 0.0
    """Gigabytes of memory of each job; 0 leaves it to the cluster."""
    address: str = ""
    """Address of the cluster of ray; by default that which ray finds, or one on this machine."""
    partition: str = ""
    """Partition of SLURM that the jobs are sent to."""
    at_once: int = 64
    """Jobs that run at the same time, at most."""


class Part(NamedTuple):
    """A part of a sweep, as something that a job calls."""

    folder: str
    index: int
    devices: str = ""

    def __call__(self) -> None:
        """Train the part from where it is, to its end."""
        train_part(Path(self.folder), self.index, self.devices)

    def checkpoint(self) -> Any:
        """What is to be called in the next job, if this one is taken away."""
        return importlib.import_module("submitit.helpers").DelayedSubmission(self)


def train_part(folder: Path, index: int, devices: str = "") -> None:
    """Train one part of the sweep whose configuration is in a folder, from where it is on.

    Raises what `experiments.training.train` raises.
    """
    from experiments.locks import locked
    from experiments.population import gather
    from experiments.progress import where_it_stopped
    from experiments.signals import caught_signals
    from experiments.training import Options, train

    config = configuration.load(folder)
    inner, members = configuration.parts(config, folder)[index]
    population = gather(config, members, placement.asked(devices))
    data = run_data.loaded(config)[1]
    results.make_folder(inner)
    with locked(inner), caught_signals() as stop:
        state = where_it_stopped(population, inner)
        train(population, state, inner, stop, data, Options(quiet=True, devices=devices))


def launch_command(arguments: list[str]) -> None:
    """`jaxrl launch slurm [OPTIONS] sweep AGENT ...`: one job for each part of a sweep."""
    cluster = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if "sweep" not in arguments or {"-h", "--help"} & set(arguments):
        require(bool({"-h", "--help"} & set(arguments)),
                "jaxrl launch needs a sweep, as in jaxrl launch slurm --minutes 60 sweep ppo "
                "--env CartPole-v1 --learning-rate 1e-4 1e-3 --members-at-once 8.")  # fmt: skip
        parse("launch slurm", LaunchOptions, ["--help"])
    require_known("cluster", cluster, CLUSTERS)
    place = arguments.index("sweep")
    chosen = parse(f"launch {cluster}", LaunchOptions, arguments[1:place])
    require_positive(minutes=chosen.minutes, cpus=chosen.cpus, at_once=chosen.at_once)
    config, folder, _, options = sweeps.asked(arguments[place + 1 :])
    require(not chosen.address or cluster == "ray", "--address needs the cluster ray.")
    if cluster == "ray":
        run_on_ray(config, folder, chosen, options.devices)
        return
    jobs = launch(config, folder, cluster, chosen, options.devices)
    print(
        f"{len(jobs)} jobs train {config.members} members into {folder}; their logs are in "
        f"{folder / 'jobs'}. When they have ended: jaxrl sweep --resume {folder}"
    )


def run_on_ray(
    config: configuration.Configuration, folder: Path, chosen: LaunchOptions, devices: str
) -> None:
    """Train the parts of a sweep as tasks of ray; an InputError tells of those that failed."""
    ray = require_ray(chosen.address)
    parts = written(config, folder, devices)
    failed = play(ray, parts, chosen)
    require(
        not failed,
        f"{len(failed)} of {len(parts)} jobs failed, the first one with: "
        f"{next(iter(failed), '')} What was trained is kept: jaxrl sweep --resume {folder}",
    )
    print(
        f"{len(parts)} jobs have trained {config.members} members into {folder}. Their table "
        f"and picture: jaxrl sweep --resume {folder}"
    )


def written(config: configuration.Configuration, folder: Path, devices: str) -> list[Part]:
    """The parts of a sweep whose configuration is now in its folder."""
    results.make_folder(folder)
    configuration.save(run_data.with_data_described(config), folder)
    number = len(configuration.parts(config, folder))
    return [Part(str(folder.absolute()), i, devices) for i in range(number)]


def package(name: str, sentence: str) -> Any:
    """A package that is not always installed; an InputError with a sentence if it is not."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(sentence) from None


def require_ray(address: str) -> Any:
    """The package ray, connected to a cluster, or to one that it starts on this machine.

    Raises an InputError if it is not installed or there is no cluster at the address.
    """
    ray = package("ray", "jaxrl launch ray needs the package ray: pip install 'jaxrl[ray]'.")
    try:
        ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"There is no cluster of ray at {address!r}: {error}") from None
    return ray


def play(ray: Any, parts: Sequence[Part], chosen: LaunchOptions) -> list[str]:
    """Run parts as tasks of ray, some at once, and wait for all; the errors of those that failed.

    A task whose process or machine is lost runs again, from its last checkpoint.
    """
    own = {"num_cpus": chosen.cpus, "num_gpus": chosen.gpus, "max_retries": 10}
    own |= {"memory": int(chosen.memory * 2**30)} if chosen.memory else {}
    task = ray.remote(**own)(Part.__call__)
    left, running, failed = list(parts), [], []
    with tqdm(total=len(parts), unit=" jobs") as bar:
        while left or running:
            new, left = left[: chosen.at_once - len(running)], left[chosen.at_once - len(running) :]
            running += [task.remote(part) for part in new]
            (done, *_), running = ray.wait(running)
            try:
                ray.get(done)
            except Exception as error:  # of any kind, as it was raised in the job
                failed.append(([*filter(None, str(error).split("\n"))] or [repr(error)])[-1])
            bar.update()
    return failed


def launch(
    config: configuration.Configuration, folder: Path, cluster: str, chosen: LaunchOptions,
    devices: str = "",
) -> list[Any]:  # fmt: skip
    """Send one job for each part of a sweep to a cluster, slurm or local; the jobs of submitit.

    Raises an InputError if submitit is not installed, or if there is no such cluster here.
    """
    sentence = "jaxrl launch needs the package submitit: pip install 'jaxrl[slurm]'."
    submitit = package("submitit", sentence)
    try:
        executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=cluster)
    except RuntimeError as error:
        raise InputError(f"There is no {cluster} here: {str(error).rstrip('.')}.") from None
    own = {"slurm_array_parallelism": chosen.at_once}
    own |= {"slurm_partition": chosen.partition} if chosen.partition else {}
    own |= {"mem_gb": chosen.memory} if chosen.memory else {}
    executor.update_parameters(
        name=f"jaxrl-{config.agent}", timeout_min=chosen.minutes, cpus_per_task=chosen.cpus,
        gpus_per_node=chosen.gpus, **own,
    )  # fmt: skip
    parts = written(config, folder, devices)
    with executor.batch():
        return [executor.submit(part) for part in parts]
