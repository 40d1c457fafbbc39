"""`python -m experiments` is the command `jaxrl`."""

import sys

from experiments.cli import main

sys.exit(main())
