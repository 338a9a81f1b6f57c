"""Which pictures a path stands for, and where the map of each goes."""

import os
from pathlib import Path

from class_jax.data.folders import IMAGE_SUFFIXES, find_images
from class_jax.data.images import read_fingerprint
from class_jax.errors import UserError

Jobs = dict[Path, Path]  # a map's file → its picture's


def plan_maps(source: Path, output: Path, problems: list[str]) -> Jobs:
    """The map files of a picture or of all pictures below a folder.

    For `a/b.jpg` below the folder `source` the map is `a/b.png` below `output`. A single picture's
    map is `output` itself if that ends as an image does, else a file in the folder `output`.
    Sub-folders that cannot be listed become `problems`.

    Raises:
      UserError: nothing there, a file that is no image by its name, a folder without images, an
        output that is a file where a folder is needed, a map that would replace one of the
        pictures, or two pictures with one map.
    """
    if not source.exists():
        raise UserError(f"--input={source}: there is no such file or folder.")
    is_one_file = output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir()
    if source.is_dir():
        if is_one_file:
            raise UserError(f"--input={source} is a folder, so --output={output} must be one too.")
        check_output(output)
        jobs = _folder_jobs(source, output, problems)
    else:
        if source.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"--input={source} is not an image: expected {_suffixes()}.")
        target = output if is_one_file else output / f"{source.stem}.png"
        check_output(target.parent)
        jobs = {target: source}
    # By what they are, not by their names: a link is the picture that it leads to.
    pictures = {os.path.realpath(picture) for picture in jobs.values()}
    for target, picture in jobs.items():
        if os.path.realpath(target) in pictures:
            raise UserError(
                f"the map of {picture} would replace the picture {target}: name another --output."
            )
    return jobs


def _folder_jobs(source: Path, output: Path, problems: list[str]) -> Jobs:
    jobs: Jobs = {}
    for picture in find_images(source, problems):
        # A map of an earlier run, where the output lies in the input.
        if picture.is_relative_to(output) and read_fingerprint(picture) is not None:
            continue
        target = output / picture.relative_to(source).with_suffix(".png")
        if target in jobs:
            raise UserError(
                f"{jobs[target]} and {picture} would both write {target}: rename one of them."
            )
        jobs[target] = picture
    if not jobs:
        raise UserError(" ".join([*problems, f"--input={source} holds no images ({_suffixes()})."]))
    return jobs


def check_output(folder: Path) -> None:
    """Raise UserError where a folder for output is a file, or would lie in one."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"--output: {folder} is a file, and a folder is needed.")


def _suffixes() -> str:
    return ", ".join(sorted(IMAGE_SUFFIXES))
