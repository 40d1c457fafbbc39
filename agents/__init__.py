"""Agents: one file each, of hyperparameters, a network, a loss and the transforms it composes.

Where a method is another one with other numbers, it is that one's file with other defaults.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from agents import (
    alphazero,
    beer,
    combo,
    discrete_sac,
    dqn,
    dreamer,
    dsrl,
    dyna,
    expo,
    hil_serl,
    mbpo,
    morec,
    munchausen,
    muzero,
    pets,
    ppo,
    pqn,
    proto_value,
    r2d2,
    ravl,
    recurrent_sac,
    repo,
    resfit,
    sac,
    sequence,
    sindy,
    skills,
    stocked,
    svg,
    tabular,
    td3,
    td_mpc,
)
from agents.offline import (
    a2pr,
    awac,
    bc,
    bcq,
    bisimulation,
    cocoa,
    cql,
    crl,
    decision_transformer,
    discrete_bcq,
    discrete_cql,
    doc,
    edac,
    forward_backward,
    fql,
    generated_bc,
    hiql,
    icvf,
    idql,
    iql,
    odice,
    oer,
    prdc,
    qrl,
    rebrac,
    rvs,
    successor_features,
    td3_bc,
    uni_o4,
)
from jaxrl.generators import Generation
from jaxrl.steering import Decoder, Frozen
from jaxrl.types import Actor, Agent, Env, Spec, Transition, Tree
from jaxrl.values import Critic, Ensemble, Objective


class AgentEntry(NamedTuple):
    """An agent as the shell finds it by name."""

    defaults: Any  # a record of hyperparameters
    make: Callable[..., Agent]  # (spec, hyperparameters)
    world: Callable[[Env, Any], Env] = lambda env, hp: env  # how it wants to see an environment
    told: Callable[[Transition, Any], Transition] | None = None
    # told: (data set [T, B, ...] of the environment itself, hyperparameters) -> as the agent sees
    # it, where `world` changes what is observed
    plans: bool = False  # in the environment itself, which `make` then takes as a third argument
    beside: Callable[[Frozen], dict[str, Any]] | None = None
    # beside: what these functions are beside a trained policy, without which it does not work
    acting: Callable[[Actor, Any], Actor] = lambda actor, hp: actor
    # acting: (actor of what `world` returns, hyperparameters) -> actor of the environment itself
    of_noise: Callable[[Spec, Any, Tree], Decoder] | None = None
    # of_noise: (spec, hyperparameters, view) -> its actions by the noise that they are made of

    def maker(self, env: Env) -> Callable[[Spec, Any], Agent]:
        """`make` for the environment, of one lane, that `world` returned."""
        return partial(self.make, env=env) if self.plans else self.make


def cloned_by(process: str) -> AgentEntry:
    """Behaviour cloning by a generator of a kind."""
    generation = Generation(process, denoising_steps=10)
    defaults = generated_bc.Hyperparameters(generation=generation)
    return AgentEntry(defaults, generated_bc.generated_bc, of_noise=generated_bc.of_noise)


def dqn_with(**options: Any) -> AgentEntry:
    """DQN with other defaults."""
    return AgentEntry(dqn.Hyperparameters(**options), dqn.dqn)


def sac_with(**options: Any) -> AgentEntry:
    """SAC with other defaults."""
    return AgentEntry(sac.Hyperparameters(**options), sac.sac)


def efficient_sac(**options: Any) -> AgentEntry:
    """SAC with ten critics that are normalised by layer, and with other defaults."""
    return sac_with(
        ensemble=Ensemble(10, subset=2),
        actor_reduction="average",
        layer_norm=True,
        hidden=(256, 256),
        learning_rate=3e-4,
        target_entropy=-0.5,
        warmup=5_000,
        **options,
    )


def td3_with(**options: Any) -> AgentEntry:
    """TD3 with other defaults."""
    return AgentEntry(td3.Hyperparameters(**options), td3.td3)


def tabular_with(**options: Any) -> AgentEntry:
    """The agent with a table, with other defaults."""
    return AgentEntry(tabular.Hyperparameters(**options), tabular.tabular, tabular.world)


def awac_with(**options: Any) -> AgentEntry:
    """AWAC with other defaults."""
    return AgentEntry(awac.Hyperparameters(**options), awac.awac)


AGENTS: dict[str, AgentEntry] = {
    # Each is double DQN with another critic, whether or not its paper has the double part.
    "dqn": dqn_with(),
    "c51": dqn_with(critic=Critic("categorical")),
    "two-hot-dqn": dqn_with(critic=Critic("two-hot")),
    "hl-gauss-dqn": dqn_with(critic=Critic("hl-gauss")),
    "qr-dqn": dqn_with(critic=Critic("quantile")),
    "expectile-dqn": dqn_with(critic=Critic("expectile")),
    "iqn": dqn_with(critic=Critic("implicit-quantile", atoms=16)),
    # Greedy in the lower quarter of the return; --objective.level is how much of it.
    "cvar-dqn": dqn_with(critic=Critic("quantile"), objective=Objective("cvar")),
    # All of Rainbow but its noisy networks; priorities are errors of means, not divergences.
    "rainbow": dqn_with(critic=Critic("categorical"), dueling=True, n_step=3, prioritised=True),
    "munchausen-dqn": AgentEntry(munchausen.Hyperparameters(), munchausen.munchausen_dqn),
    "stocked-dqn": AgentEntry(stocked.Hyperparameters(), stocked.stocked_dqn, stocked.world),
    "pqn": AgentEntry(pqn.Hyperparameters(), pqn.pqn),
    "r2d2": AgentEntry(r2d2.Hyperparameters(), r2d2.r2d2),
    "q-learning": tabular_with(target="peng-q", trace_decay=0.0),
    "q-lambda": tabular_with(target="watkins-q"),
    "sarsa-lambda": tabular_with(target="sarsa"),
    "expected-sarsa": tabular_with(target="expected-sarsa", trace_decay=0.0),
    "dyna-q": AgentEntry(dyna.Hyperparameters(), dyna.dyna_q, tabular.world),
    "ppo": AgentEntry(ppo.Hyperparameters(), ppo.ppo),
    "sac": sac_with(),
    "redq": sac_with(
        ensemble=Ensemble(10, subset=2), actor_reduction="average", updates=20, actor_period=20
    ),
    "droq": sac_with(
        dropout=0.01, layer_norm=True, actor_reduction="average", updates=20, actor_period=20
    ),
    "tqc": sac_with(
        critic=Critic("quantile", atoms=25),
        ensemble=Ensemble(5, "truncated", drop=2),
        actor_reduction="average",
    ),
    # What it is paid is learnt, for skills: see `jaxrl.rewards.skills`.
    "skills": AgentEntry(skills.Hyperparameters(), skills.skilled_sac, skills.world),
    # They learn beside a data set, or go on from a learner of one: see `jaxrl.continuing`.
    "rlpd": efficient_sac(updates=20, actor_period=20, data_share=0.5),
    "wsrl": efficient_sac(updates=4, actor_period=4),
    # A trained policy acts beside them: it corrects, is edited, or is steered by its noise.
    "hil-serl": AgentEntry(hil_serl.Hyperparameters(), hil_serl.hil_serl, beside=hil_serl.beside),
    "resfit": AgentEntry(resfit.Hyperparameters(), resfit.resfit, beside=resfit.beside),
    "dsrl": AgentEntry(dsrl.Hyperparameters(), dsrl.dsrl, beside=dsrl.beside),
    "discrete-sac": AgentEntry(discrete_sac.Hyperparameters(), discrete_sac.discrete_sac),
    "recurrent-sac": AgentEntry(recurrent_sac.Hyperparameters(), recurrent_sac.recurrent_sac),
    # They plan: in the simulator itself, and in a model of values.
    "alphazero": AgentEntry(
        alphazero.Hyperparameters(), alphazero.alphazero, alphazero.world, plans=True
    ),
    "gumbel-muzero": AgentEntry(muzero.Hyperparameters(), muzero.muzero),
    "mbpo": AgentEntry(mbpo.Hyperparameters(), mbpo.mbpo),
    # MBPO for data sets, each careful in another way.
    "mopo": AgentEntry(
        mbpo.Hyperparameters(uncertainty="aleatoric", penalty=1.0, horizon=4), mbpo.mbpo
    ),
    "combo": AgentEntry(combo.Hyperparameters(), combo.combo),
    "morec": AgentEntry(morec.Hyperparameters(), morec.morec),
    "ravl": AgentEntry(ravl.Hyperparameters(), ravl.ravl),
    "dreamer": AgentEntry(dreamer.Hyperparameters(), dreamer.dreamer),
    "repo": AgentEntry(repo.Hyperparameters(), repo.repo),
    "sequence-sac": AgentEntry(sequence.Hyperparameters(), sequence.sequence_sac),
    "svg": AgentEntry(svg.Hyperparameters(), svg.svg),
    "sindy": AgentEntry(sindy.Hyperparameters(), sindy.sindy),
    "pets": AgentEntry(pets.Hyperparameters(), pets.pets),
    "td-mpc": AgentEntry(td_mpc.Hyperparameters(), td_mpc.td_mpc),
    "td3": td3_with(),
    # It clones what it collects, and data if there are any.
    "expo": AgentEntry(expo.Hyperparameters(), expo.expo),
    "beer": AgentEntry(beer.Hyperparameters(), beer.beer),
    "proto-value": AgentEntry(proto_value.Hyperparameters(), proto_value.proto_value),
    "d4pg": td3_with(
        critic=Critic("categorical"),
        ensemble=Ensemble(1),
        n_step=5,
        target_noise=0.0,
        actor_period=1,
    ),
    # They learn from data sets without a model.
    "bc": AgentEntry(bc.Hyperparameters(), bc.bc),
    "diffusion-bc": cloned_by("diffusion"),
    "flow-bc": cloned_by("flow"),
    "rvs": AgentEntry(rvs.Hyperparameters(), rvs.rvs),
    "decision-transformer": AgentEntry(
        decision_transformer.Hyperparameters(),
        decision_transformer.decision_transformer,
        decision_transformer.world,
        decision_transformer.told,
    ),
    "doc": AgentEntry(doc.Hyperparameters(), doc.doc),
    "iql": AgentEntry(iql.Hyperparameters(), iql.iql),
    "xql": AgentEntry(iql.Hyperparameters(value="gumbel", temperature=2.0), iql.iql),
    "sql": AgentEntry(iql.Hyperparameters(value="sparse"), iql.iql),
    "idql": AgentEntry(idql.Hyperparameters(), idql.idql),
    "riql": AgentEntry(
        iql.Hyperparameters(
            huber_width=1.0,
            ensemble=Ensemble(5, "quantile", level=0.25),
            normalise_observations=True,
        ),
        iql.iql,
    ),
    "o-dice": AgentEntry(odice.Hyperparameters(), odice.odice),
    "awac": awac_with(),
    "crr": awac_with(
        weights="binary",
        temperature=1.0,
        samples=4,
        ensemble=Ensemble(1),
        target_policy=True,
        target_rate=1.0,
        target_period=100,
        batch_size=256,
    ),
    "td3-bc": AgentEntry(td3_bc.Hyperparameters(), td3_bc.td3_bc),
    "prdc": AgentEntry(prdc.Hyperparameters(), prdc.prdc),
    "a2pr": AgentEntry(a2pr.Hyperparameters(), a2pr.a2pr),
    "oer": AgentEntry(oer.Hyperparameters(), oer.oer),  # of one task; `kept` are others' steps
    "rebrac": AgentEntry(rebrac.Hyperparameters(), rebrac.rebrac),
    "fql": AgentEntry(fql.Hyperparameters(), fql.fql),
    "cql": AgentEntry(cql.Hyperparameters(), cql.cql),
    "cal-ql": AgentEntry(cql.Hyperparameters(calibrated=True), cql.cql),
    "cocoa": AgentEntry(cocoa.Hyperparameters(), cocoa.cocoa),
    "discrete-cql": AgentEntry(discrete_cql.Hyperparameters(), discrete_cql.discrete_cql),
    "sac-n": sac_with(ensemble=Ensemble(10), learning_rate=3e-4, hidden=(256, 256, 256)),
    "edac": AgentEntry(edac.Hyperparameters(), edac.edac),
    "bcq": AgentEntry(bcq.Hyperparameters(), bcq.bcq),
    "uni-o4": AgentEntry(uni_o4.Hyperparameters(), uni_o4.uni_o4),  # `ppo` goes on from it
    "discrete-bcq": AgentEntry(discrete_bcq.Hyperparameters(), discrete_bcq.discrete_bcq),
    "bisimulation-cql": AgentEntry(bisimulation.Hyperparameters(), bisimulation.bisimulation_cql),
    # They learn to reach goals from data sets without rewards.
    "hiql": AgentEntry(hiql.Hyperparameters(), hiql.hiql),
    "gcivl": AgentEntry(
        hiql.Hyperparameters(
            subgoal_steps=0, representation_size=0, expectile=0.9, inverse_temperature=10.0
        ),
        hiql.hiql,
    ),
    "qrl": AgentEntry(qrl.Hyperparameters(), qrl.qrl),
    "crl": AgentEntry(crl.Hyperparameters(), crl.crl),
    # It learns features from a data set, without its actions and rewards.
    "icvf": AgentEntry(icvf.Hyperparameters(), icvf.icvf),
    # They learn policies of all rewards from a data set, without its rewards.
    "forward-backward": AgentEntry(
        forward_backward.Hyperparameters(), forward_backward.forward_backward
    ),
    "hilp": AgentEntry(successor_features.Hyperparameters(), successor_features.successor_features),
}
