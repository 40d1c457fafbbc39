"""Experiments behind published claims: each module is one claim, run by `jaxrl reproduce NAME`.

- `anchors`: offline policies on anchors near the data, from starts with data and without.
- `annotations`: bonuses where an annotator sees subgoals, with its errors.
- `classification`: losses of classification and of regression, in DQN.
- `comparisons`: comparisons of segments by regret or by rewards, and policies without a reward.
- `composed`: two flows that see different things, and the weighted sum of both.
- `contexts`: policies by the context of what is preferred, beside rewards that are fitted.
- `corruption`: IQL and the parts of RIQL on corrupted data.
- `data-quality`: algorithms by the quality and the coverage of their data sets.
- `demonstrations`: a few demonstrations for PPO in rooms that are always new.
- `distributional`: DQN, C51, QR-DQN and IQN on two games.
- `dreams`: the environment steps that MBPO saves, beside SAC.
- `edge`: rollouts of the true model that end where values are never learnt, and two remedies.
- `expressivity`: orders of policies that one kind of objective expresses and another does not.
- `features`: features of data without actions, and values that are linear in them.
- `generalisation`: DQN that learns from replay, from a factored model or from the true one.
- `gradients`: semi, true and orthogonal gradients of O-DICE, by the weight of the residual.
- `guided`: trajectories by diffusion that a policy leads, beside rollouts of an ensemble.
- `hacking`: a proxy that is optimised near a reference, by actions or by occupancies.
- `heuristics`: auxiliary rewards that help or mislead, and implicit gradients of their weights.
- `histories`: histories whose features a bisimulation loss makes alike.
- `horizon`: the effective horizon beside the steps that DQN and PPO need.
- `implicit-values`: IQL, XQL and SQL beside exact values of the best actions in the data.
- `joint-actions`: soft values of joint actions whose digits see each other, or do not.
- `judged`: offline learning from a reward that is fitted to a judge who errs.
- `labels`: data whose actions are mostly told by an inverse model.
- `levels`: offline learning in new mazes, by the number of levels and of steps.
- `lipschitz`: an ensemble of models, or one model and smooth values.
- `mismatch`: the error of models beside the cost of control.
- `offline-robust`: robust offline plans by a price or by a radius, and what they cost.
- `optimism`: optimistic actor-critics, exploration above a threshold, and lists of items.
- `overoptimisation`: proxy and gold reward of the best of n, by labels and by ensembles.
- `policy-gradients`: momentum without lag, corrected sampling, and critics of two sources.
- `programmes`: rewards that are searched for among programmes.
- `proto-values`: features from the values of few or many random tasks.
- `ranked-factors`: rewards from ranked factors, beside weighted sums, in wrong units.
- `rates`: the convergence of distributional dynamic programming, beside its bounds.
- `reach`: offline Pendulum in rollouts of the true simulator, by length and number of critics.
- `recall`: the memory of gated cells, state spaces and transformers, and the cost of their steps.
- `receding`: plans of a flow that begin as noise, or go on from the last plan.
- `regularisers`: what TD3's actor imitates: the data, their nearest or generated better actions.
- `robust`: robust beside nominal planning under shifted kernels.
- `search`: Gumbel MuZero on small games, and AlphaZero beside its own prior.
- `shuffled-frames`: progress told from frames without their order, to judge and imitate data.
- `steering`: a cloned flow that is steered by its noise, or edited, beside learning anew.
- `stock`: one network for all levels of risk, beside the exact optimum.
- `submodular`: policy gradients of what a whole walk covers.
- `surrogates`: PPO in a sparse surrogate, beside PPO in the environment.
- `unknown-models`: latent processes, exploration without rewards, and the average reward.
- `users`: users who want opposite things, by one reward or a latent of each.
- `wanted`: one network that obtains the return it is asked for, in a game.
- `weighted-models`: tiny models weighted by the gradient of the value, with distractors.

Each writes a table, the numbers behind it and a picture to its folder. Those of the kept runs are
in `kept`, and their verdicts are in `claims`.
"""
