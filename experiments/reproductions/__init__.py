"""What papers claim, tried again: each module is one claim, run by `jaxrl reproduce NAME`.

- `classification`: losses of classification and of regression, under noise and in networks of any
  width.
- `distributional`: DQN, C51, QR-DQN and IQN on two games.
- `dreams`: the environment steps that MBPO saves, beside SAC.
- `edge`: rollouts of the true model that end where nothing is learnt, and two remedies.
- `generalisation`: DQN that learns from replay, from a factored model or from the true one.
- `horizon`: the effective horizon beside the steps that DQN and PPO need.
- `lipschitz`: an ensemble of models, or one and smooth values.
- `mismatch`: models that are likelier and do not control better.
- `rates`: how fast distributional dynamic programming converges, beside its bounds.
- `reach`: offline Pendulum in rollouts of the true simulator, by length and critics.
- `recall`: what gated cells, state spaces and transformers remember, and what a step costs.
- `robust`: what planning for the worst costs where the world is as modelled, and brings elsewhere.
- `search`: Gumbel MuZero on small games, and AlphaZero beside its own prior.
- `stock`: one network that obeys the level of risk it is commanded, beside the exact optimum.
- `surrogates`: PPO in a sparse surrogate, beside PPO in the environment.
- `wanted`: one network that earns as much as it is asked to, in a game.
- `weighted-models`: tiny models that mind what values depend on, among distractors.

Each leaves a table, the numbers behind it and a picture in its folder; those in `kept` are what the
commands gave here.
"""
