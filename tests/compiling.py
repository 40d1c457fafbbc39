"""Options of `jax.jit` for what runs longer than it compiles: the others are not optimised."""

OPTIMISED = {"xla_backend_optimization_level": 1}
