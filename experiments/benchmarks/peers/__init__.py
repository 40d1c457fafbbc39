"""Workers of the speed benchmark, each run as a script by the Python that has its library."""
