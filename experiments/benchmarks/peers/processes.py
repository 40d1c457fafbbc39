"""Virtual environments of the peers, and the worker processes that run in them."""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


class Failed(Exception):
    """A peer could not be installed, or a worker did not answer; the message is the reason."""


class Peer(NamedTuple):
    """A library to compare with: its worker and the requirements of that worker."""

    script: str
    requirements: tuple[str, ...] = ()
    python: tuple[tuple[int, int], tuple[int, int]] = ((3, 11), (3, 13))  # oldest and newest
    variables: tuple[tuple[str, str], ...] = ()  # of its environment
    source: tuple[str, str] = ("", "")  # a repository that is no package, and the commit
    executable: str = sys.executable


REJAX = (
    "rejax==0.1.3",
    "gymnax==0.0.9",
    "jax==0.11.2",
    "jaxlib==0.11.2",
    "flax==0.12.12",
    "optax==0.2.8",
    "distrax==0.1.9",
    "chex==0.1.92",
)
JAX = tuple(pin for pin in REJAX if not pin.startswith(("rejax", "gymnax")))
PEERS: dict[str, Peer] = {
    "rejax": Peer("rejax_worker.py", REJAX, python=((3, 12), (3, 13))),
    "rejax-optuna": Peer(
        "rejax_tuning_worker.py", (*REJAX, "optuna==5.0.0"), python=((3, 12), (3, 13))
    ),
    "sb3": Peer(
        "sb3_worker.py",
        ("torch==2.13.0", "stable-baselines3==2.9.2", "gymnasium==1.4.0", "minatar==1.0.15"),
        # Its fastest: products this small lose more to a second thread than they gain.
        variables=(("OMP_NUM_THREADS", "1"),),
    ),
    # brax's PPO calls jax.device_put_replicated, which later versions of jax do not have.
    "brax": Peer("brax_worker.py", ("brax==0.14.2", "jax==0.9.2", "jaxlib==0.9.2")),
    "unifloral": Peer(
        "unifloral_worker.py",
        JAX,
        python=((3, 12), (3, 13)),
        source=(
            "https://github.com/EmptyJackson/unifloral",
            "f2dc1278eae18ed3e22c92255119c54885414d17",
        ),
    ),
    "jax-corl": Peer(
        "jax_corl_worker.py",
        (*JAX, "omegaconf==2.3.0", "pydantic==2.12.4"),
        python=((3, 12), (3, 13)),
        source=(
            "https://github.com/nissymori/JAX-CORL",
            "d747dd8ad4fcc088ff9f1ade49a6be43a60f6556",
        ),
    ),
    "ogbench": Peer(
        "ogbench_worker.py",
        (*JAX, "ml_collections==1.1.0"),
        python=((3, 12), (3, 13)),
        source=(
            "https://github.com/seohongpark/ogbench",
            "1d4140997f60c52c6fb0702ec100dc988b18c548",
        ),
    ),
    "corl": Peer(
        "corl_worker.py",
        ("torch==2.13.0", "numpy==2.3.5", "tqdm==4.67.1"),
        variables=(("OMP_NUM_THREADS", "1"),),
        source=(
            "https://github.com/corl-team/CORL",
            "eeeeef2671235fcce3a3eb255576a207d78840e6",
        ),
    ),
    # mbrl-lib wants a version of hydra-core that later versions of Python cannot import.
    "mbrl": Peer(
        "mbrl_worker.py",
        ("torch==2.13.0", "mbrl==0.2.0"),
        python=((3, 10), (3, 10)),
        variables=(("OMP_NUM_THREADS", "1"),),
    ),
}


def python_of(oldest: tuple[int, int], newest: tuple[int, int]) -> str:
    """A Python of exactly one version; raises Failed if none is found."""
    names = [sys.executable] + [f"python3.{minor}" for minor in (12, 13, 11, 10)]
    test = f"import sys, venv; sys.exit(not {oldest} <= sys.version_info[:2] <= {newest})"
    for name in names:
        path = shutil.which(name)
        # A name that is found may still be a shim for a version that is not there.
        if path and subprocess.run([path, "-c", test], capture_output=True).returncode == 0:
            return path
    span = " to ".join(".".join(map(str, end)) for end in sorted({oldest, newest}))
    raise Failed(f"it needs Python {span}, and there is none on the path.")


def prepare(name: str, folder: Path) -> Peer:
    """The peer with its virtual environment made, or found in `folder` with the same pins.

    Our own library runs in the environment that we are in. Raises Failed if that is impossible.
    """
    if name not in PEERS:
        return Peer("jaxrl_worker.py")
    peer = PEERS[name]
    home, pins = folder / name, "\n".join(peer.requirements)
    stamp, executable = home / "requirements.txt", home / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == pins and executable.exists()):
        python = python_of(*peer.python)
        print(f"Installing {', '.join(peer.requirements)} into {home} ...", file=sys.stderr)
        command([python, "-m", "venv", "--clear", str(home)])
        command([str(executable), "-m", "pip", "install", "--quiet", *peer.requirements])
        # Last, so that an installation that was interrupted is made again.
        stamp.write_text(pins)
    if peer.source[0]:
        fetch(*peer.source, home / "source")
    return peer._replace(executable=str(executable), source=(str(home / "source"), ""))


def fetch(address: str, commit: str, place: Path) -> None:
    """A repository at a commit, unless it is there; raises Failed if it cannot be had."""
    head = ["git", "-C", str(place), "rev-parse", "HEAD"]
    there = subprocess.run(head, capture_output=True, text=True) if place.exists() else None
    if there is None or there.stdout.strip() != commit:
        shutil.rmtree(place, ignore_errors=True)
        command(["git", "clone", "--quiet", address, str(place)])
        command(["git", "-C", str(place), "checkout", "--quiet", commit])


def command(words: list[str]) -> None:
    """Run a command; raises Failed with the end of its output if it fails."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(last_line(done.stderr) or f"{words[0]} failed.")


def last_line(text: str) -> str:
    """The last line that is not blank."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]


class Worker:
    """A process that trains one chunk at a time, when asked; see `protocol.py`."""

    def __init__(self, peer: Peer, task: dict[str, Any]):
        """Start the process; its first answer says that it is ready."""
        # No accelerator for those who find one.
        env = {"JAX_PLATFORMS": "cpu"}
        source = {"source": peer.source[0]} if peer.source[0] else {}
        if not peer.requirements:
            env["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as the process
        self.process = subprocess.Popen(
            [peer.executable, str(HERE / peer.script), json.dumps(task | source)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | env | dict(peer.variables),
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def answer(self, timeout: float) -> dict[str, Any]:
        """The next answer; raises Failed if there is none within `timeout` seconds."""
        try:
            line = self.lines.get(timeout=timeout)
        except queue.Empty:
            raise Failed(f"did not finish in {timeout:g} s") from None
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise Failed(last_line(self.errors.read()) or f"exit {self.process.returncode}")
        return json.loads(line)

    def run(self, timeout: float) -> dict[str, Any]:
        """Request one chunk of training."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended: `answer` finds out why
        return self.answer(timeout)

    def end(self, timeout: float) -> dict[str, Any]:
        """Request the end; return the last report."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.answer(timeout)

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
