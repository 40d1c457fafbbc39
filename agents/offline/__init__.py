"""Agents that learn from data sets without a model; those with one are beside this folder.

- `bc`: behaviour cloning, of all episodes or of the best.
- `generated_bc`: behaviour cloning by diffusion, or by a flow, which is a line of it.
- `rvs`: behaviour cloning conditioned on the return that follows.
- `decision_transformer`: the same of sequences, read by a memory.
- `doc`: behaviour cloning conditioned on plans, which know nothing of luck.
- `iql`: expectiles of values, and weighted cloning.
- `idql`: IQL that chooses among what a generator clones.
- `fql`: a policy of one step that imitates a flow.
- `odice`: values by the dual of staying near the data, with orthogonal gradients.
- `awac`: critics of the policy, which clones what they prefer; CRR is a line of it.
- `td3_bc`, `rebrac`: TD3 whose actor, or also its critics, pay for distances to the data.
- `prdc`, `a2pr`: TD3 whose actor imitates the nearest of the data, or generated better actions.
- `oer`: TD3+BC on tasks one after another, and a policy that remembers them.
- `cql`, `discrete_cql`: SAC and DQN with values that are low without data.
- `cocoa`: CQL that sees anchors near the data, and differences from them.
- `edac`: SAC with many diverse critics.
- `uni_o4`: PPO from cloned policies, as far as a model approves of it.
- `bcq`, `discrete_bcq`: the best of what the data would do.
- `bisimulation`: conservative values of features with a bisimulation loss, for histories.
- `hiql`: subgoals and the way to them, by values of goals; GCIVL is a line of it.
- `qrl`: distances to goals with the laws of shortest paths.
- `crl`: a classifier of what follows as a critic.
- `icvf`: features of states, from data without actions.
- `forward_backward`: policies of all rewards at once, by factorised measures of future visits.
- `successor_features`: the same by successor features; of Hilbert features it is HILP.
"""
