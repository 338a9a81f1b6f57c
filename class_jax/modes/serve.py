"""Mode serve: a page in the browser and an HTTP API for a trained network."""

import argparse
import asyncio
import os
import re
import signal
import sys

from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.jobs.run import open_predictor
from class_jax.pictures.predictor import Predictor
from class_jax.runs.workdir import Workdir
from class_jax.serving.access import OWN, Access, is_address
from class_jax.serving.api import Api, load_examples
from class_jax.serving.server import Server, listen
from class_jax.serving.service import Service


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Serve a network until Ctrl-C; return the exit status.

    Raises:
      UserError: the port is in use, or there is no network.
    """
    if not re.fullmatch(r"(/[\w.~-]+)*/?", flags.root_path, re.ASCII):
        raise UserError(f"--root_path={flags.root_path}: expected a path, as in /saliency.")
    hosts, root_path = flags.host or ["127.0.0.1"], flags.root_path.rstrip("/")
    address = next((host for host in hosts if is_address(host) or host in OWN), hosts[0])

    def load() -> Predictor:
        """Load the network, and predict an image, so that nobody waits for a compiler."""
        predictor = open_predictor(flags.model, config, flags.checkpoint)
        predictor.predict(next(iter(load_examples().values())))
        return predictor

    with listen(address, flags.port) as listener:
        bound, port = listener.getsockname()[:2]
        access = Access(bound, hosts, flags.allow_origin or ())
        service = Service(load)
        api = Api(service, access=access, root_path=root_path)

        def announce() -> None:
            name = f"[{address}]" if ":" in address else address
            print(f"on {service.predictor.device}", file=sys.stderr)
            if address not in OWN:
                warning = "note: anyone who can reach this machine over the network can use it"
                print(warning, file=sys.stderr)
            print(f"http://{name}:{port}{root_path}  (Ctrl-C ends it)", file=sys.stderr)

        number = asyncio.run(Server(api).run(listener, service.loaded, announce))
    if number == signal.SIGINT and not service.is_ready:
        print("interrupted", file=sys.stderr)
    sys.stderr.flush()
    # A normal exit would wait for a computation, and takes JAX seconds.
    os._exit(0 if number == signal.SIGINT and service.is_ready else 128 + number)
