"""A worker that searches with Optuna over rejax, one trial after another.

A trial is a dynamic argument of one compiled function, so that rejax compiles once for all of them:
the fastest way to use it. It answers `{"seconds": ..., "best": ...}` when all trials are done.
"""

import time

begin = time.perf_counter()  # imports count, as they do for a command

import jax  # noqa: E402
import optuna  # noqa: E402
import protocol  # noqa: E402
import rejax  # noqa: E402
from rejax.evaluate import evaluate  # noqa: E402

s = protocol.setting()
optuna.logging.set_verbosity(optuna.logging.WARNING)
algorithm = rejax.PPO.create(
    env=s["env"],
    num_envs=s["num_envs"],
    num_steps=s["rollout_length"],
    num_epochs=s["epochs"],
    num_minibatches=s["minibatches"],
    max_grad_norm=0.5,
    total_timesteps=s["steps"],
    eval_freq=s["steps"],
    skip_initial_evaluation=True,
    agent_kwargs={"activation": s["activation"], "hidden_layer_sizes": s["hidden"]},
)
algorithm = algorithm.replace(eval_callback=lambda algorithm, state, key: ())


@jax.jit
def trained(learning_rate, ent_coef, gae_lambda, key):
    """The mean return of a seed after training."""
    k_train, k_play = jax.random.split(key)
    own = algorithm.replace(learning_rate=learning_rate, ent_coef=ent_coef, gae_lambda=gae_lambda)
    state, _ = own.train(rng=k_train)
    act = own.make_act(state)
    _, returns = evaluate(act, k_play, own.env, own.env_params, s["episodes"])
    return returns.mean()


def objective(trial):
    """The score of a trial."""
    numbers = {
        name: trial.suggest_float(name, low, high, log=log)
        for name, (low, high, log) in s["space"].items()
    }
    named = {s["names"].get(name, name): value for name, value in numbers.items()}
    key = jax.random.PRNGKey(trial.number)
    scores = [trained(**named, key=k) for k in jax.random.split(key, s["seeds"])]
    return float(sum(scores) / len(scores))


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=s["trials"])
protocol.answer(seconds=time.perf_counter() - begin, best=study.best_value)
