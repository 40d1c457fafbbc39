"""What there is to choose from: agents, environments and presets, as tables."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

import envs
from envs import suites
from experiments import presets
from experiments.results import write_whole
from jaxrl.errors import InputError
from jaxrl.optimisers import DECAYING, OPTIMISERS
from jaxrl.types import Box, Discrete, MultiDiscrete, Space, Spec


class About(NamedTuple):
    """What a person wants to know of an agent before training it."""

    kind: str
    actions: str  # discrete, continuous, or products; "one-hot" where observations must be
    sentence: str


VALUES, POLICIES, MODELS, TABULAR = "value-based", "actor-critic", "model-based", "tabular"
SEARCH, OFFLINE, DATA = "tree search", "offline model-based", "offline model-free"
ZERO_SHOT = "offline zero-shot"

ABOUT = {
    "dqn": About(VALUES, "discrete", "Double deep Q-learning with replay (Mnih et al. 2015)."),
    "c51": About(VALUES, "discrete", "DQN with a categorical critic (Bellemare et al. 2017)."),
    "two-hot-dqn": About(VALUES, "discrete", "DQN with a two-hot critic."),
    "hl-gauss-dqn": About(VALUES, "discrete",
                          "DQN with an HL-Gauss critic (Farebrother et al. 2024)."),
    "qr-dqn": About(VALUES, "discrete", "DQN with a quantile critic (Dabney et al. 2018)."),
    "expectile-dqn": About(VALUES, "discrete",
                           "DQN with an expectile critic (Rowland et al. 2019)."),
    "iqn": About(VALUES, "discrete", "DQN with implicit quantiles (Dabney et al. 2018)."),
    "cvar-dqn": About(VALUES, "discrete",
                      "QR-DQN that maximises the CVaR of its return in place of the mean."),
    "rainbow": About(VALUES, "discrete",
                     "Rainbow without noisy networks (Hessel et al. 2018)."),
    "munchausen-dqn": About(VALUES, "discrete",
                            "DQN with the log-policy in its reward (Vieillard et al. 2020)."),
    "stocked-dqn": About(VALUES, "discrete",
                         "DQN that optimises a statistic of stock and return (Pires et al. 2025)."),
    "pqn": About(VALUES, "discrete",
                 "Q(lambda) in parallel, without replay or target network (Gallici et al. 2024)."),
    "r2d2": About(VALUES, "discrete",
                  "Recurrent Q-learning from stored memories (Kapturowski et al. 2019)."),
    "q-learning": About(TABULAR, "discrete, one-hot", "Q-learning in a table."),
    "q-lambda": About(TABULAR, "discrete, one-hot", "Watkins's Q(lambda) in a table."),
    "sarsa-lambda": About(TABULAR, "discrete, one-hot", "Sarsa(lambda) in a table."),
    "expected-sarsa": About(TABULAR, "discrete, one-hot", "Expected Sarsa in a table."),
    "dyna-q": About(TABULAR, "discrete, one-hot",
                    "Q-learning that also learns in a counted model (Sutton 1991)."),
    "ppo": About(POLICIES, "discrete, continuous, products",
                 "Proximal policy optimisation (Schulman et al. 2017)."),
    "sac": About(POLICIES, "continuous", "Soft actor-critic (Haarnoja et al. 2018)."),
    "redq": About(POLICIES, "continuous",
                  "SAC with ten critics and many updates (Chen et al. 2021)."),
    "tqc": About(POLICIES, "continuous",
                 "SAC with truncated quantile critics (Kuznetsov et al. 2020)."),
    "skills": About(POLICIES, "continuous",
                    "SAC for skills without a reward: METRA or DIAYN (Park et al. 2024)."),
    "rlpd": About(POLICIES, "continuous",
                  "SAC with ten critics and a half of each batch from data (Ball et al. 2023)."),
    "wsrl": About(POLICIES, "continuous",
                  "SAC with ten critics that goes on from data without them (Zhou et al. 2025)."),
    "hil-serl": About(POLICIES, "continuous",
                      "RLPD that a trained policy corrects (Luo et al. 2024)."),
    "resfit": About(POLICIES, "continuous",
                    "TD3 that edits what a trained policy does (Ankile et al. 2025)."),
    "dsrl": About(POLICIES, "continuous",
                  "SAC in the noise of a trained generator (Wagenmaker et al. 2025)."),
    "discrete-sac": About(POLICIES, "discrete",
                          "SAC for discrete actions (Christodoulou 2019)."),
    "recurrent-sac": About(POLICIES, "continuous",
                           "SAC with a memory, replayed as R2D2 does (Yang and Nguyen 2021)."),
    "alphazero": About(SEARCH, "discrete",
                       "Tree search in the simulator, and a network (Silver et al. 2018)."),
    "gumbel-muzero": About(SEARCH, "discrete",
                           "Tree search in a learnt model (Danihelka et al. 2022)."),
    "mbpo": About(MODELS, "continuous",
                  "SAC that learns from short imagined rollouts (Janner et al. 2019)."),
    "mopo": About(OFFLINE, "continuous",
                  "MBPO with a penalty for the model's uncertainty (Yu et al. 2020)."),
    "combo": About(OFFLINE, "continuous",
                   "MBPO with conservative values of imagined pairs (Yu et al. 2021)."),
    "morec": About(OFFLINE, "continuous",
                   "MBPO with a learnt filter of implausible transitions (Luo et al. 2024)."),
    "ravl": About(OFFLINE, "continuous",
                  "MBPO with a diverse ensemble of critics (Sims et al. 2024)."),
    "dreamer": About(MODELS, "discrete, continuous, products",
                     "Actor and critic in a latent world model (Hafner et al. 2025)."),
    "repo": About(MODELS, "discrete, continuous, products",
                  "Dreamer with predictable latents and no reconstruction (Zhu et al. 2023)."),
    "sequence-sac": About(MODELS, "continuous",
                          "SAC that decides on several actions at once (Patel and Siegelmann)."),
    "svg": About(MODELS, "continuous",
                 "Policy gradients through a learnt model (Heess et al. 2015)."),
    "sindy": About(MODELS, "continuous",
                   "PPO in a sparse surrogate of the environment (Zolman et al. 2024)."),
    "pets": About(MODELS, "continuous",
                  "Planning in a learnt ensemble, without a policy (Chua et al. 2018)."),
    "td-mpc": About(MODELS, "continuous",
                    "Planning in a latent model, with a value at the end (Hansen et al. 2024)."),
    "td3": About(POLICIES, "continuous",
                 "Twin delayed deterministic policy gradients (Fujimoto et al. 2018)."),
    "expo": About(POLICIES, "continuous",
                  "The best of what a generator makes and its edits (Dong et al. 2025)."),
    "beer": About(POLICIES, "continuous",
                  "TD3 with a bound on the similarity of features (He et al. 2024)."),
    "proto-value": About("representation", "discrete",
                         "Features from the values of random rewards (Farebrother et al. 2023)."),
    "d4pg": About(POLICIES, "continuous",
                  "TD3 with a distributional critic (Barth-Maron et al. 2018)."),
    "bc": About(DATA, "discrete, continuous",
                "Behaviour cloning, of all episodes or of the best."),
    "diffusion-bc": About(DATA, "continuous",
                          "Cloning of actions with several modes (Pearce et al. 2023)."),
    "flow-bc": About(DATA, "continuous", "Cloning of actions with several modes by a flow."),
    "rvs": About(DATA, "discrete, continuous",
                 "Cloning conditioned on the return that follows (Emmons et al. 2022)."),
    "decision-transformer": About(DATA, "discrete, continuous",
                                  "Cloning of sequences of returns to go (Chen et al. 2021)."),
    "doc": About(DATA, "discrete, continuous",
                 "Cloning of the best plan, without its luck (Yang et al. 2023)."),
    "iql": About(DATA, "discrete, continuous",
                 "Expectiles of values and weighted cloning (Kostrikov et al. 2022)."),
    "xql": About(DATA, "discrete, continuous",
                 "IQL with log-mean-exponential values (Garg et al. 2023)."),
    "sql": About(DATA, "discrete, continuous",
                 "IQL with values that leave bad actions out (Xu et al. 2023)."),
    "idql": About(DATA, "continuous",
                  "IQL that chooses among diffused actions (Hansen-Estruch et al. 2023)."),
    "riql": About(DATA, "discrete, continuous",
                  "IQL that withstands corrupted data (Yang et al. 2024)."),
    "o-dice": About(DATA, "discrete, continuous",
                    "Values near the data by orthogonal gradients (Mao et al. 2024)."),
    "awac": About(DATA, "discrete, continuous",
                  "An actor that clones what its critics prefer (Nair et al. 2020)."),
    "crr": About(DATA, "discrete, continuous",
                 "AWAC with binary or clipped weights (Wang et al. 2020)."),
    "td3-bc": About(DATA, "continuous",
                    "TD3 whose actor also imitates the data (Fujimoto and Gu 2021)."),
    "prdc": About(DATA, "continuous",
                  "TD3 whose actor imitates the nearest of the data (Ran et al. 2023)."),
    "a2pr": About(DATA, "continuous",
                  "TD3 whose actor imitates generated better actions (Liu et al. 2024)."),
    "oer": About(DATA, "continuous",
                 "TD3+BC and a policy that clones it and earlier tasks (Gai et al. 2023)."),
    "rebrac": About(DATA, "continuous",
                    "TD3 that pays for distances to the data (Tarasov et al. 2023)."),
    "fql": About(DATA, "continuous",
                 "A policy of one step that imitates a flow (Park et al. 2025)."),
    "cql": About(DATA, "continuous",
                 "SAC with low values where there are no data (Kumar et al. 2020)."),
    "cal-ql": About(DATA, "continuous",
                    "CQL with values no lower than the data's returns (Nakamoto et al. 2023)."),
    "cocoa": About(DATA, "continuous",
                   "CQL that sees anchors near the data and differences (Song et al. 2024)."),
    "discrete-cql": About(DATA, "discrete",
                          "QR-DQN with low values where there are no data (Kumar et al. 2020)."),
    "sac-n": About(DATA, "continuous", "SAC with the minimum of ten critics (An et al. 2021)."),
    "edac": About(DATA, "continuous", "SAC with diverse critics (An et al. 2021)."),
    "bcq": About(DATA, "continuous",
                 "The best of what a generator of the data's actions does (Fujimoto et al. 2019)."),
    "uni-o4": About(DATA, "discrete, continuous",
                    "PPO on data, with steps that a model approves of (Lei et al. 2024)."),
    "discrete-bcq": About(DATA, "discrete",
                          "DQN that takes what the data would take (Fujimoto et al. 2019)."),
    "bisimulation-cql": About(DATA, "discrete",
                              "CQL on features of what goes on alike (Hong et al. 2024)."),
    "hiql": About(DATA, "discrete, continuous",
                  "Subgoals and the way to them, in environments with goals (Park et al. 2023)."),
    "gcivl": About(DATA, "discrete, continuous",
                   "Values of goals and weighted cloning (Park et al. 2023)."),
    "qrl": About(DATA, "discrete, continuous",
                 "Asymmetric distances to goals, and weighted cloning (Wang et al. 2023)."),
    "crl": About(DATA, "discrete, continuous",
                 "A classifier of what follows as a critic of goals (Eysenbach et al. 2022)."),
    "icvf": About("representation", "discrete, continuous",
                  "Features from values of intents in data without actions (Ghosh et al. 2023)."),
    "forward-backward": About(ZERO_SHOT, "discrete, continuous",
                              "Policies of all rewards by measures (Touati and Ollivier 2021)."),
    "hilp": About(ZERO_SHOT, "discrete, continuous",
                  "Policies of all rewards by Hilbert features (Park et al. 2024)."),
}  # fmt: skip


def agents(words: list[str]) -> list[str]:
    """The table of agents, of those whose line has all of `words`."""
    rows = [(name, about.kind, about.actions, about.sentence) for name, about in ABOUT.items()]
    return table(("agent", "kind", "actions", "what it is"), matching(rows, words))


def presets_table(words: list[str]) -> list[str]:
    """The table of presets, of those whose line has all of `words`."""
    show = lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    rows = [
        (agent, env, ", ".join(f"{name} {show(value)}" for name, value in values.items()))
        for (agent, env), values in presets.PRESETS.items()
    ]
    return table(("agent", "environment", "preset"), matching(rows, words))


OPTIMISER_SENTENCES = {
    "adam": "Adam (Kingma and Ba 2015).",
    "adamw": "Adam with decoupled weight decay (Loshchilov and Hutter 2019).",
    "amsgrad": "Adam with a second moment that never falls (Reddi et al. 2018).",
    "nadam": "Adam with Nesterov momentum (Dozat 2016).",
    "radam": "Adam with a rectified first phase (Liu et al. 2020).",
    "adabelief": "Adam scaled by the variance of gradients (Zhuang et al. 2020).",
    "adamax": "Adam with the infinity norm (Kingma and Ba 2015).",
    "yogi": "Adam with additive second moments (Zaheer et al. 2018).",
    "novograd": "Adam with one second moment a layer (Ginsburg et al. 2019).",
    "lamb": "Adam with a trust ratio a layer, for large batches (You et al. 2020).",
    "lion": "Signs of the momentum (Chen et al. 2023).",
    "rmsprop": "Gradients over their root mean square (Tieleman and Hinton 2012).",
    "adagrad": "Gradients over the root of all squares so far (Duchi et al. 2011).",
    "sgd": "Stochastic gradient descent.",
    "momentum": "Stochastic gradient descent with momentum.",
    "nesterov": "Stochastic gradient descent with Nesterov momentum.",
    "muon": "Orthogonalised momentum of matrices, and Adam for the rest (Jordan et al. 2024).",
    "ademamix": "Adam with a second, slow momentum (Pagliardini et al. 2025).",
    "adopt": "Adam that converges at any rate of the second moment (Taniguchi et al. 2024).",
}


def optimisers(words: list[str]) -> list[str]:
    """The table of optimisers, of those whose line has all of `words`."""
    decays = lambda name: "weight decay" if name in DECAYING else ""
    rows = [(name, decays(name), OPTIMISER_SENTENCES[name]) for name in OPTIMISERS]
    return table(("optimiser", "takes", "what it is"), matching(rows, words))


def environment_names(words: list[str]) -> list[str]:
    """The names of environments that have all of `words`, wrapped to lines.

    Those whose package is not installed come last, after the command that installs it.
    """
    names = matching_environments(words)
    ready = [name for name in names if not suites.missing(name)]
    lines = wrapped(ready)
    for prefix, suite in suites.SUITES.items():
        lacking = [n for n in names if n.startswith(f"{prefix}/") and n not in ready]
        if lacking:
            lines += ["", f"After pip install 'jaxrl[{suite.extra}]':", *wrapped(lacking)]
    return lines


def matching_environments(words: list[str]) -> list[str]:
    """The names of environments that have all of `words`."""
    return [name for (name,) in matching([(name,) for name in envs.names()], words)]


def wrapped(names: list[str], width: int = 96) -> list[str]:
    """Names in lines of about `width` characters."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += f"{name}  "
    return [line.rstrip() for line in lines]


def environments(words: list[str]) -> Iterator[str]:
    """The lines of the table of environments: actions and observations of those that match.

    What an environment shows is known only once it is made, which takes seconds for some. It is
    remembered in the user's cache folder, for the versions of the libraries that are installed.
    An environment whose package is not installed has the command that installs it instead.
    """
    names = matching_environments(words)
    place, known = remembered()
    lacking = {name: suites.missing(name) for name in names}
    new = [name for name in names if name not in known and not lacking[name]]
    if len(new) > 5:
        print(
            f"{len(new)} environments are made for the first time, which takes up to some seconds "
            "each; the next listing is immediate.",
            file=sys.stderr,
        )
    width = max((len(name) for name in names), default=0)
    yield f"{'environment':{width}}  {'actions':18}  observation"
    for name in names:
        if lacking[name]:
            yield f"{name:{width}}  {lacking[name].partition(': ')[2].rstrip('.')}"
            continue
        if name not in known:
            try:
                known[name] = list(shown(envs.make(name).spec))
            except InputError as error:  # such as data that has to be downloaded
                yield f"{name:{width}}  {error}"
                continue
        actions, observation = known[name]
        yield f"{name:{width}}  {actions:18}  {observation}"
    if new:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(known))
        except OSError:  # The cache is a convenience.
            pass


def shown(spec: Spec) -> tuple[str, str]:
    """The actions and the observation of an environment, in words."""
    size = lambda shape: " x ".join(map(str, shape)) or "1"

    def actions(space: Space) -> str:
        if isinstance(space, Discrete):
            return f"{space.num} discrete"
        if isinstance(space, Box):
            return f"{size(space.shape)} continuous"
        if isinstance(space, MultiDiscrete):
            return f"{size(space.nums)} discrete"
        return " and ".join(map(actions, space.parts))

    leaves = jax.tree.leaves(spec.observation)
    return actions(spec.action), ", ".join(f"{leaf.dtype} {size(leaf.shape)}" for leaf in leaves)


def remembered() -> tuple[Path, dict[str, Any]]:
    """The file that remembers environments, and what it holds."""
    libraries = ("gymnax", "brax", "jax")
    versions = [importlib.metadata.version(name) for name in libraries]
    sources = sorted(Path(envs.__file__).parent.rglob("*.py"))
    found = [importlib.util.find_spec(suite.package) for suite in suites.SUITES.values()]
    sources += [Path(spec.origin) for spec in found if spec is not None and spec.origin]
    stamp = [f"{path.name} {path.stat().st_mtime_ns}" for path in sources]
    digest = hashlib.sha256(" ".join(versions + stamp).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    place = root / "jaxrl" / f"environments-{digest}.json"
    try:
        found = json.loads(place.read_text())
        pairs = {k: v for k, v in found.items() if len(v) == 2}
        return place, pairs if len(pairs) == len(found) else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return place, {}


def matching(rows: list[tuple[str, ...]], words: list[str]) -> list[tuple[str, ...]]:
    """The rows that have every one of `words` in them, in any case."""
    return [row for row in rows if all(w.lower() in " ".join(row).lower() for w in words)]


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a table with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths)).rstrip()
            for row in [head, *rows]]  # fmt: skip


TABLES: dict[str, Callable[[list[str]], Iterable[str]]] = {
    "agents": agents,
    "environments": environments,
    "optimisers": optimisers,
    "presets": presets_table,
}
