"""Files from the Hugging Face hub: downloaded once into its cache."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from class_jax.errors import UserError
from class_jax.text import first_line

HUB = "hf://"
# Of the recipes' defaults: another file of that name would start runs from other weights.
SHA256 = {
    "hf://timm/resnet50.tv_in1k/model.safetensors": (
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888"
    ),
}


def fetch_file(source: str) -> Path:
    """Return a file of weights, `hf://owner/name/file`, from the hub's cache or downloaded.

    Raises:
      UserError: it cannot be downloaded, or is another file than a recipe expects.
    """
    parts = source.removeprefix(HUB).split("/", 2)
    if len(parts) != 3:
        raise UserError(f"{source}: expected hf://owner/name/file.")
    path = _download(
        "/".join(parts[:2]),
        parts[2],
        "give its path by config.model.pretrained, or start from random weights: "
        "config.model.pretrained=None",
    )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256.get(source, digest):
        raise UserError(
            f"{source} is another file than expected: its SHA-256 is {digest}, expected "
            f"{SHA256[source]}. Remove {path} and try again, or name a file of your own by "
            "config.model.pretrained."
        )
    return path


def fetch_folder(source: str, files: Sequence[str]) -> Path:
    """Return a folder with the given files of `hf://owner/name`, all of one revision.

    Raises:
      UserError: as `fetch_file`.
    """
    repository = source.removeprefix(HUB).strip("/")
    if repository.count("/") != 1:
        raise UserError(f"{source}: expected hf://owner/name.")
    paths = [_download(repository, name, "name the folder that they lie in") for name in files]
    return paths[0].parent


def _download(repository: str, file: str, otherwise: str) -> Path:
    """Return a file of a repository; `otherwise` says what to do if it cannot be downloaded."""
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415
    from huggingface_hub.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()  # it logs every retry
    print(f"{HUB}{repository}/{file}: asking the hub", file=sys.stderr)
    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        is_cut_off = isinstance(error, LocalEntryNotFoundError)
        why = "no connection to the hub" if is_cut_off else first_line(error)
        raise UserError(
            f"{HUB}{repository}/{file} could not be downloaded ({why}): fetch "
            f"https://huggingface.co/{repository}/resolve/main/{file} by other means and "
            f"{otherwise}."
        ) from error
