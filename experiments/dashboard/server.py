"""Serve the page of all runs to this machine, until Ctrl-C."""

import logging
import signal
import socket
import webbrowser
from pathlib import Path

import jax

from jaxrl.errors import InputError, require

HOST = "127.0.0.1"
"""Nobody on another machine can see the page."""
NAMES = [HOST, "localhost"]
"""The hosts by whose names it may be asked for: a page of another site has another."""


def serve(root: Path, port: int, browser: bool) -> None:
    """Serve the runs below a folder until Ctrl-C; port 0 is any that is free.

    Raises an InputError if the folder or the extra `dashboard` is missing, or the port in use.
    """
    require(root.is_dir(), f"There is no folder {root}: name the one in which your runs are.")
    jax.config.update("jax_platforms", "cpu")  # an accelerator is left to the runs
    try:
        from werkzeug.serving import make_server

        from experiments.dashboard.page import page
    except ImportError as error:
        raise InputError(
            f"jaxrl dashboard needs the package {error.name}: pip install 'jaxrl[dashboard]'."
        ) from None
    app = page(root).server
    app.config["TRUSTED_HOSTS"] = NAMES
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request tells nothing
    with bound(port) as place:
        number = place.getsockname()[1]
        server = make_server(HOST, number, app, threaded=True, fd=place.fileno())
        link = f"http://{HOST}:{number}"
        print(f"The runs in {root} are shown at {link}; Ctrl-C ends it.", flush=True)
        for one in (signal.SIGINT, signal.SIGTERM):  # also where the shell has them ignored
            signal.signal(one, signal.default_int_handler)
        if browser:
            webbrowser.open(link)
        server.serve_forever()


def bound(port: int) -> socket.socket:
    """A socket of this machine that listens to a port; an InputError if the port is in use."""
    require(0 <= port < 2**16, f"port must be at least 0 and below 65536, but it is {port}.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"Port {port} cannot be used, because of this: {reason}; choose another with --port, "
            "or any that is free with --port 0."
        ) from None
