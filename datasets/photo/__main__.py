"""Fetch and prepare the published sources of the network "photo".

    python -m datasets.photo ROOT

ROOT gets a folder of images and masks for each source, and `validation` with those held out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.text import list_names
from datasets.photo.prepare import prepare
from datasets.photo.sources import FOLDER, read_sources


def run(arguments: Sequence[str], *, tables: Path = FOLDER) -> int:
    """Prepare all sources; return 0, 1 if some are not whole, or 2 for a user's mistake."""
    parser = argparse.ArgumentParser(prog="python -m datasets.photo")
    parser.add_argument("root", help="folder of all sources")
    root = absolute(parser.parse_args(arguments).root)
    if root.exists() and not root.is_dir():
        print(f"{root} is a file: expected a folder, or one that does not exist.", file=sys.stderr)
        return 2
    missing = []
    for source in read_sources(tables):
        try:
            prepare(source, root)
        except UserError as error:
            missing.append(source.name)
            print(f"{source.name}: {error}")
        else:
            print(f"{source.name}: {len(source.entries)} images are ready; {source.licence}")
    if missing:
        print(f"Not whole: {list_names(missing)}. The same command goes on.", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
