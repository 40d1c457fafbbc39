"""Measurements too long for a test: learning, speed, buffers, dynamic programming."""
