"""Measurements too long for a test: learning, speed, buffers, imagination, solvers."""
