"""What a person runs: train, evaluate, sweep, plot, benchmark and reproduce."""
