"""Which pictures a path stands for, and where the map of each goes."""

from pathlib import Path

from class_jax.data.sources import SUFFIXES, is_junk
from class_jax.errors import UserError

Jobs = dict[Path, Path]  # a map's file → its picture's


def plan_maps(source: Path, output: Path) -> Jobs:
    """The map files of a picture or of all pictures below a folder.

    For `a/b.jpg` below the folder `source` the map is `a/b.png` below `output`. A single picture's
    map is `output` itself if that ends as an image does, else a file in the folder `output`.

    Raises:
      UserError: nothing there, a file that is no image by its name, a folder without images, an
        output that is a file where a folder is needed, or two pictures with one map.
    """
    source, output = source.resolve(), output.resolve()
    if not source.exists():
        raise UserError(f"--input={source}: there is no such file or folder.")
    single_file = output.suffix.lower() in SUFFIXES
    if source.is_file():
        if source.suffix.lower() not in SUFFIXES:
            raise UserError(f"--input={source} is not an image: expected {_suffixes()}.")
        target = output if single_file else output / f"{source.stem}.png"
        if target == source:
            raise UserError(f"--output={target} is the picture itself: name another file.")
        _check_folder(target.parent)
        return {target: source}
    if single_file:
        raise UserError(f"--input={source} is a folder, so --output={output} must be one too.")
    if output == source:
        raise UserError(f"--output={output} is the folder of the pictures: name another one.")
    _check_folder(output)
    return _folder_jobs(source, output)


def _folder_jobs(source: Path, output: Path) -> Jobs:
    jobs: Jobs = {}
    for picture in sorted(source.rglob("*")):
        inside = picture.relative_to(source)
        # Maps of an earlier run, where the output lies in the input.
        ours = picture.is_relative_to(output)
        if ours or is_junk(inside) or picture.suffix.lower() not in SUFFIXES:
            continue
        target = output / inside.with_suffix(".png")
        if target in jobs:
            raise UserError(
                f"{jobs[target]} and {picture} would both write {target}: rename one of them."
            )
        jobs[target] = picture
    if not jobs:
        raise UserError(f"--input={source} holds no images ({_suffixes()}).")
    return jobs


def _check_folder(folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"--output: {folder} is a file, and a folder is needed.")


def _suffixes() -> str:
    return ", ".join(sorted(SUFFIXES))
