"""Plan outputs: which images, into which files, and which of them are there already."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import (
    NOT_IMAGES,
    advise,
    describe_left_out,
    file_fingerprint,
    find_images,
    is_video,
    readable_suffixes,
)
from class_jax.data.images import Picture
from class_jax.data.sources import Source
from class_jax.errors import UserError
from class_jax.jobs.marks import Job, read_mark
from class_jax.jobs.targets import check_images_survive, check_output, is_image_name, plan_targets
from class_jax.jobs.video.animation import is_animated
from class_jax.jobs.video.numbered import is_numbered
from class_jax.jobs.video.videos import choose_suffix, explain_refusal, is_moving_name
from class_jax.pictures.outputs import MAPS, Output
from class_jax.text import list_lines, list_names

ACCEPTED = "expected an image such as .jpg, .png, .webp, .avif or .tif"


class Plan(NamedTuple):
    """The maps to make, and what is left out: a line for each kind of file or each folder."""

    jobs: list[Job]
    problems: list[str]
    left_out: int  # files


class Sorted(NamedTuple):
    """Planned maps, sorted by what is on the disk already."""

    todo: list[Job]
    kept: list[Job]  # maps of the same network and image
    foreign: list[Job]  # files that were not made here


def plan_image_maps(
    paths: Sequence[Path], output: Path, *, made: Output = MAPS, animate: bool = False
) -> Plan:
    """Plan the outputs of images and videos, and of all of them below folders.

    For `a/b.jpg` below a folder the map is `a/b.png` below `output`, for a file `b.png`; a video
    gives a video, and an animated image another one if `animate` is set. If two images would get
    the same map, theirs are `b.jpg.png` and `b.png.png`, or lie in as many of the images' folders
    as tell them apart. The output of a single file is `output` itself if that ends as an image
    does, or for a video as a video. Paths are absolute.

    Raises:
      UserError: no images at all, an output that cannot be written, or a map that would replace
        one of the images.
    """
    images, problems, left_out = _find_inputs(paths, made)
    is_file = len(paths) == 1 and paths[0] in images and _is_file_name(output, paths[0], made)
    if not is_file and is_image_name(output) and not output.is_dir():
        raise UserError(f"several images need a folder for the output, not {output}.")
    check_output(output.parent if is_file else output)
    if is_file:
        animate = is_moving_name(output)
    moving = {path for path in images if is_video(path) or (animate and _moves(path, made))}
    suffixes = {path: choose_suffix(path, made) for path in moving}
    targets = {output: paths[0]} if is_file else plan_targets(images, output, suffixes)
    if not targets:
        names = list_names(paths)
        raise UserError(f"{names}: no images there; {ACCEPTED}.{list_lines(problems)}")
    check_images_survive(targets)
    jobs = [
        Job(target, source, file_fingerprint(source), moves=source in moving)
        for target, source in targets.items()
    ]
    return Plan(jobs, problems, left_out)


def _find_inputs(paths: Sequence[Path], made: Output) -> tuple[dict[Path, Path], list[str], int]:
    """Return inputs with their paths below the output, problems, and how many were left out."""
    images: dict[Path, Path] = {}
    left_out: list[Path] = []
    problems: list[str] = []
    refused: list[str] = []
    refusal = explain_refusal(made)
    for path in paths:
        if path.is_dir():
            found = find_images(path)
            videos = [] if refusal else filter(is_video, found.left_out)
            images |= {file: file.relative_to(path) for file in sorted([*found.images, *videos])}
            left_out += [file for file in found.left_out if file not in images]
            problems += found.problems
            if len(paths) > 1 and not any(found):
                problems.append(f"{path}: no images there")
        elif why := _explain_file(path, refusal):
            if len(paths) == 1:
                raise UserError(why)
            refused.append(why)
        else:
            images[path] = Path(path.name)
    problems += [*refused, *describe_left_out(left_out, videos=refusal)]
    return images, problems, len(left_out) + len(refused)


def _explain_file(path: Path, refusal: str | None) -> str:
    """Say why a path that is no folder cannot be done; "" if it can, by its name."""
    if not path.exists():
        return f"{path}: there is no such file or folder."
    if not path.is_file():
        return f"{path} is neither a file nor a folder."
    if is_video(path):
        return f"{path} is a video: {refusal}." if refusal else ""
    if path.suffix.lower() in readable_suffixes():
        return ""
    why = advise(path) if path.suffix.lower() in NOT_IMAGES else ACCEPTED
    return f"{path} cannot be read as an image: {why}."


def _moves(path: Path, made: Output) -> bool:
    """Return whether outputs of all frames can be made of a file."""
    return is_video(path) or (made.moves and is_animated(path))


def _is_file_name(output: Path, source: Path, made: Output) -> bool:
    """Return whether a path names an output file, not a folder; UserError for a wrong name."""
    if output.is_dir():
        return False
    if is_moving_name(output) and _moves(source, made):
        if is_numbered(output) and not is_image_name(output):
            raise UserError(f"{output}: numbered images need a suffix, as in frames/%05d.png.")
        return True
    if is_video(source) and output.suffix.lower() in readable_suffixes() | NOT_IMAGES:
        raise UserError(
            f"{output}: the output of the video {source} cannot be written in this format; name a "
            ".mp4, .webm or .mov file, a .gif, .webp or .apng, numbered images such as "
            "frames/%05d.png, or a folder."
        )
    return not is_video(source) and is_image_name(output)


def plan_source_maps(source: Source, folder: Path) -> list[Job]:
    """Plan the maps of a set, `<name>.png` below `folder`, in its order."""
    return [
        Job(
            folder / f"{name}.png",
            functools.partial(_load_picture, source, index),
            source.fingerprint(index),
        )
        for index, name in enumerate(source.names)
    ]


def _load_picture(source: Source, index: int, side: int | None) -> Picture:
    example = source.load(index, side)
    return Picture(example["image"], *example["size"])


def sort_jobs(jobs: Sequence[Job], network: str, *, overwrite: bool) -> Sorted:
    """Sort planned maps by what is on the disk; `overwrite`: replace what was not made here.

    `network` is the fingerprint of the network and of what is made.
    """
    found = Sorted([], [], [])
    for job in jobs:
        stored = read_mark(job.target) if job.target.is_file() else ""
        if stored is None and not overwrite:
            found.foreign.append(job)
        elif stored == job.mark(network):
            found.kept.append(job)
        else:
            found.todo.append(job)
    return found
