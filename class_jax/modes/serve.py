"""Mode serve: a page in the browser and an HTTP API for a trained network."""

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

from ml_collections import ConfigDict
from PIL import Image

from class_jax.data.synthetic import SyntheticSource
from class_jax.errors import UserError
from class_jax.networks.find import find_network, is_onnx, keep_trying
from class_jax.pictures.predictor import Predictor
from class_jax.runs.workdir import Workdir

EXAMPLES = 4
EXAMPLE_SIZE = (360, 480)
EXAMPLE_SEED = 7
OWN = ("127.0.0.1", "localhost", "::1")  # addresses that only this machine reaches


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Serve a network until Ctrl-C; return the exit status.

    Raises:
      UserError: Gradio is not installed, the port is in use, or there is no network.
    """
    try:
        from class_jax.serving.page import add_page  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(
            f'--mode serve needs Gradio ({error}): pip install "gradio>=6.31,<7", or in a clone '
            "pip install -r requirements-serve.txt."
        ) from error
    from fastapi import FastAPI  # noqa: PLC0415

    from class_jax.serving.api import add_api  # noqa: PLC0415
    from class_jax.serving.server import listen, run_server  # noqa: PLC0415
    from class_jax.serving.service import Service  # noqa: PLC0415

    if not 0 <= flags.port < 2**16:
        raise UserError(f"--port={flags.port}: expected 1 to 65535, or 0 for any that is free.")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(flags.host, flags.port))
        model = flags.model or workdir.path
        predictor = _load(model, config, flags.checkpoint)
        folder = Path(tempfile.mkdtemp(prefix="class_jax-serve-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        service = Service(predictor, has_attention=not is_onnx(model))
        stack.callback(service.close)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        add_api(app, service)
        add_page(app, service, examples=_draw_examples(folder, predictor), folder=folder)
        _announce(flags.host, listener.getsockname()[1], predictor)
        run_server(app, listener)
    return 0


def _load(model: object, config: ConfigDict, checkpoint: str) -> Predictor:
    """Load the network."""

    def attempt() -> Predictor:
        found = find_network(str(model), config, checkpoint)
        print(f"checkpoint: {found.description}", file=sys.stderr)
        return Predictor(found.load(), keep_aspect=config.eval.keep_aspect)

    return keep_trying(attempt)


def _draw_examples(folder: Path, predictor: Predictor) -> list[Path]:
    """Draw pictures to pick from; the first is predicted, so that nobody waits for a compiler."""
    source = SyntheticSource(EXAMPLES, seed=EXAMPLE_SEED, image_size=EXAMPLE_SIZE)
    paths = []
    for index in range(EXAMPLES):
        example = source.load(index)
        path = folder / "examples" / f"{example['name']}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(example["image"]).save(path)
        paths.append(path)
    predictor.predict(paths[0])
    return paths


def _announce(host: str, port: int, predictor: Predictor) -> None:
    name = f"[{host}]" if ":" in host else host
    print(f"on {predictor.device}", file=sys.stderr)
    if host not in OWN:
        print("note: whoever reaches this machine by the network can use it", file=sys.stderr)
    print(f"http://{name}:{port}  (Ctrl-C ends it)", file=sys.stderr)
