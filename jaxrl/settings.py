"""Settings that agents share, as records within their hyperparameters.

    @record
    class Hyperparameters:
        discount: float = number(0.99, FRACTION)
        collection: Collection = Collection(num_envs=16)
        optimisation: Optimisation = Optimisation(learning_rate=3e-4)

A field of a record within may be named alone where only one has it, as in
`Hyperparameters(num_envs=8)`, `replace(hp, num_envs=8)` and on the command line.
"""

from jaxrl.fields import (
    BELOW_ONE,
    ENTRIES,
    FRACTION,
    NOT_NEGATIVE,
    NOT_NEGATIVE_OR_INFINITE,
    POSITIVE,
    group,
    number,
    static,
)


@group
class Collection:
    """How experience is collected."""

    num_envs: int = static(1, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(1, POSITIVE)
    """Steps in each environment between two rounds of learning."""
    warmup: int = static(0, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""


@group
class Replay:
    """How stored experience is learnt from."""

    updates: int = static(1, POSITIVE)
    """Gradient steps after each rollout."""
    batch_size: int = static(256, POSITIVE)
    """Transitions in a batch, or sequences where an agent learns from sequences."""
    buffer_size: int = static(100_000, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    data_share: float = static(0.0, FRACTION)
    """Share of each batch that is drawn from a data set, where there is one beside the environment;
    the rest is what was collected."""
    buffer_memory: str = static("device")
    """Memory that holds the replay buffer: device, or host where the device is too small; samples
    from the host are two rollouts older."""
    storage: str = static("float32")
    """Type in which real-valued observations are stored: float32, or bfloat16 in half the memory;
    bytes are stored as bytes."""


@group
class Priorities:
    """How replay prefers large errors. Source: Schaul et al. (2016), section 3.3."""

    priority_exponent: float = number(0.6, NOT_NEGATIVE)
    """Exponent of priorities in prioritised replay; 0 samples uniformly."""
    importance_exponent: float = number(0.4, NOT_NEGATIVE)
    """Exponent of the importance weights that correct for prioritised sampling; 1 is exact."""


@group
class Passes:
    """How each rollout is learnt from."""

    epochs: int = static(4, POSITIVE)
    """Passes over each rollout."""
    minibatches: int = static(4, POSITIVE)
    """Minibatches in a pass, each of which is one gradient step."""


@group
class EpsilonGreedy:
    """How actions are explored at random."""

    epsilon: float = number(0.05, FRACTION)
    """Final probability of a random action in epsilon-greedy exploration."""
    epsilon_updates: float = number(1_000.0, NOT_NEGATIVE)
    """Gradient steps over which epsilon falls linearly from 1 to its final value."""


@group
class Layers:
    """The layers of a network."""

    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer; a memory is as wide as the last."""
    activation: str = static("relu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static("auto")
    """Encoder of observations: mlp, residual, cnn, nature, impala, or auto, which is cnn for images
    and mlp otherwise."""
    layer_norm: bool = static(False)
    """Use layer normalisation before each activation function."""


@group
class Recurrent(Layers):
    """The layers of a network that may have a memory."""

    memory: str = static("none")
    """Memory of the network: none, gru, lstm, state-space or transformer."""
    window: int = static(16, POSITIVE)
    """Steps that each layer of a transformer looks back over, the present one included."""


@group
class Optimisation:
    """How parameters descend the gradient; see `jaxrl.optimisers`."""

    optimiser: str = static("adam")
    """Optimiser: one of the names that `jaxrl list optimisers` shows."""
    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of the optimiser."""
    schedule: str = static("linear")
    """How the learning rate falls over the share `decay` of the run: linear, cosine, exponential,
    or constant, which it also is where that share is 0."""
    decay: float = number(0.0, FRACTION)
    """Share of the run over which the learning rate falls; 0 keeps it constant."""
    decay_steps: float = number(0.0, NOT_NEGATIVE)
    """Environment steps over which the learning rate falls, instead of a share."""
    max_gradient_norm: float = number(0.0, NOT_NEGATIVE_OR_INFINITE)
    """Global norm to which gradients are clipped; 0 does not clip them."""
    momentum: float = static(0.9, BELOW_ONE)
    """Decay rate of the mean gradient, in optimisers that keep one (beta 1 of Adam)."""
    eps: float = static(1e-8, POSITIVE)
    """Number added to the denominators of Adam and its relatives."""
    weight_decay: float = number(0.0, NOT_NEGATIVE)
    """Share of the parameters, times the learning rate, that a step subtracts, in adamw and others
    that decay weights."""
