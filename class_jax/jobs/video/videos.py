"""Videos and animated images: which files they give, and how those are made."""

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from class_jax.data.folders import is_video
from class_jax.data.images import Original
from class_jax.errors import UserError
from class_jax.files import atomic_write
from class_jax.jobs.marks import Job
from class_jax.jobs.video import animation
from class_jax.jobs.video.along_time import Backdrop, Smoother
from class_jax.jobs.video.frames import Frame, Video
from class_jax.jobs.video.numbered import is_numbered, write_numbered
from class_jax.pictures.outputs import Output
from class_jax.pictures.pipeline import make_each
from class_jax.pictures.predictor import Predictor
from class_jax.text import printable

WRITTEN = (".mp4", ".webm", ".mov")  # videos; all but .mp4 may be transparent
HOW_TO_READ = "pip install av"
SILENT = "audio was left out"


def explain_refusal(output: Output) -> str | None:
    """Return why an output is not made of videos here; None if it is."""
    if not output.moves:
        return "videos cannot be cropped and have no attention sheets"
    return None if importlib.util.find_spec("av") else HOW_TO_READ


def is_moving_name(path: Path) -> bool:
    """Return whether a path names a video, an animated image or numbered images to write."""
    return path.suffix.lower() in (*WRITTEN, *animation.NAMED) or is_numbered(path)


def choose_suffix(source: Path, output: Output) -> str:
    """Return the suffix of the output of a video or an animated image in a folder."""
    suffix = source.suffix.lower()
    if is_video(source):
        return ".webm" if output.has_alpha else ".mp4"
    if suffix == ".gif" and output.has_alpha:
        return ".webp"  # in a GIF a pixel is either transparent or not
    return ".png" if suffix == ".apng" else suffix


def make_video(
    job: Job, predictor: Predictor, output: Output, network: str
) -> tuple[list[str], bool]:
    """Make an output of a video or an animated image, a batch of frames at a time.

    If anything fails or interrupts it, no file is left, but for numbered images made so far.
    `network` is the fingerprint of the predictor's network.

    Returns:
      Notes, such as what could not be kept, and whether anything salient was found.

    Raises:
      UserError: the source cannot be read to its end, or the output cannot be written.
    """
    assert isinstance(job.source, Path)
    mark, suffix = job.mark(network), job.target.suffix.lower()
    salient: list[bool] = []
    with contextlib.closing(_open(job.source)) as video:
        frames = _make_frames(video, job.target, predictor, output, salient)
        if video.audio and suffix not in WRITTEN:
            video.audio = ()
            video.notes.add(SILENT)
        if is_numbered(job.target):
            write_numbered(job.target, frames, mark)
        else:
            write = _import_pyav(job.target)[1] if suffix in WRITTEN else animation.write_animation
            with atomic_write(job.target) as partial:
                write(partial, job.target, video, frames, mark)
    if any(salient) and not all(salient):
        empty = f"{salient.count(False)} of {len(salient)}"
        video.notes.add(f"nothing salient was found in {empty} frames")
    return sorted(video.notes), any(salient)


def _make_frames(
    video: Video, target: Path, predictor: Predictor, output: Output, salient: list[bool]
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Yield each frame and what is made of it; append whether anything in it is salient."""
    smoother = Smoother(output.smooth) if output.smooth else None
    path = output.background
    behind = Backdrop(functools.partial(_open, path)) if isinstance(path, Path) else None

    def adjust(frame: Frame, saliency: np.ndarray) -> tuple[np.ndarray, Output]:
        background = behind.at(frame.start * video.time_base) if behind else output.background
        smooth = smoother.add(saliency, frame.pixels) if smoother else saliency
        return smooth, output._replace(background=background)

    title = printable(video.path.name)
    frames = tqdm(video.frames(), total=video.length, desc=title, unit="frame")
    sources = ((frame, Original(frame.pixels, {})) for frame in frames)
    for frame, made in make_each(predictor, sources, output, lambda _: target, adjust):
        if isinstance(made, UserError):
            raise made
        salient.append(made.is_salient)
        yield frame, made.pixels


def _open(path: Path) -> Video:
    return _import_pyav(path)[0](path) if is_video(path) else animation.Animation(path)


def _import_pyav(path: Path) -> tuple[Any, Any]:
    """Return the reader and the writer of videos, for a path; UserError without PyAV."""
    try:
        from class_jax.jobs.video import reader, writer  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(f"{path}: videos need PyAV: {HOW_TO_READ}.") from error
    return reader.VideoFile, writer.write_video
