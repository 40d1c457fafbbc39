"""Measurements that take too long for a test: learning, speed, buffers, imagination and solvers."""
