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


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Serve a network until Ctrl-C; return the exit status.

    Raises:
      UserError: h11 is not installed, the port is in use, or there is no network.
    """
    try:
        from class_jax.serving.access import OWN, Access, is_address  # noqa: PLC0415 - optional
        from class_jax.serving.api import Api, load_examples  # noqa: PLC0415
        from class_jax.serving.server import Server, listen  # noqa: PLC0415
        from class_jax.serving.service import Service  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            f'serve needs h11 ({error}): pip install "h11>=0.14", or in a clone '
            "pip install -r requirements-serve.txt."
        ) from error

    if not 0 <= flags.port < 2**16:
        raise UserError(f"--port={flags.port}: expected 1 to 65535, or 0 for any that is free.")
    hosts = flags.host or ["127.0.0.1"]
    root_path = _check_root_path(flags.root_path)
    address = next((host for host in hosts if is_address(host) or host in OWN), hosts[0])
    with listen(address, flags.port) as listener:
        bound, port = listener.getsockname()[:2]
        access = Access.make(bound, hosts, flags.allow_origin or [])
        example = next(iter(load_examples().values()))
        model = str(flags.model or workdir.path)
        service = Service(lambda: _load(model, config, flags.checkpoint, example))
        api = Api(service, access=access, root_path=root_path)

        def announce() -> None:
            name = f"[{address}]" if ":" in address else address
            print(f"on {service.predictor.device}", file=sys.stderr)
            if address not in OWN:
                print(
                    "note: anyone who can reach this machine over the network can use it",
                    file=sys.stderr,
                )
            print(f"http://{name}:{port}{root_path}  (Ctrl-C ends it)", file=sys.stderr)

        number = asyncio.run(Server(api).run(listener, service.loaded, announce))
    status = 128 + number
    if number == signal.SIGINT and service.is_ready:
        status = 0
    elif number == signal.SIGINT:
        print("interrupted", file=sys.stderr)
    sys.stderr.flush()
    # A normal exit would wait for a computation, and takes JAX seconds.
    os._exit(status)


def _check_root_path(text: str | None) -> str:
    if text is None:
        return ""
    if not re.fullmatch(r"(/[\w.~-]+)+/?", text, re.ASCII):
        raise UserError(f"--root_path={text}: expected a path that begins with /, as in /saliency.")
    return text.rstrip("/")


def _load(model: str, config: ConfigDict, checkpoint: str, example: bytes) -> Predictor:
    """Load the network, and predict an image, so that nobody waits for a compiler."""
    predictor = open_predictor(model, config, checkpoint)
    predictor.predict(example)
    return predictor
