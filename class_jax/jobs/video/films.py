"""Videos and animated images: which files they give, and how those are made."""

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from class_jax.data.folders import FILMS, readable_suffixes
from class_jax.data.images import Original
from class_jax.errors import UserError
from class_jax.files import atomic_write
from class_jax.jobs.marks import make_mark
from class_jax.jobs.video import animation
from class_jax.jobs.video.along_time import Backdrop, Smoother
from class_jax.jobs.video.frames import NUMBERED, Film, FilmWriter, Frame
from class_jax.jobs.video.numbered import NumberedPictures
from class_jax.pictures.outputs import Output
from class_jax.pictures.pipeline import Adjust, make_each
from class_jax.pictures.predictor import Predictor
from class_jax.text import printable

WRITTEN = (".mp4", ".webm", ".mov")  # videos; all but .mp4 may be transparent
NAMES = (
    "name a .mp4, .webm or .mov file, a .gif, .webp or .apng, numbered images such as "
    "frames/%05d.png, or a folder"
)
HOW_TO_READ = "pip install av"


class FilmJob(NamedTuple):
    """An output to make of a video or an animated image."""

    target: Path  # a video, an animated image, or the pattern of numbered images
    source: Path
    fingerprint: str  # of the source


def is_film(path: Path) -> bool:
    """Return whether a file is a video, by its name."""
    return path.suffix.lower() in FILMS


def explain_refusal(output: Output) -> str | None:
    """Return why an output is not made of videos here; None if it is."""
    if not output.moves:
        return "videos cannot be cropped and have no attention sheets"
    with contextlib.suppress(UserError):
        _import_video(Path())
        return None
    return HOW_TO_READ


def is_moving_name(path: Path) -> bool:
    """Return whether a path names something that has frames, and that can be written."""
    suffix = path.suffix.lower()
    return suffix in (*WRITTEN, *animation.NAMED) or is_numbered(path)


def is_numbered(path: Path) -> bool:
    """Return whether a path is the pattern of numbered images."""
    return NUMBERED.search(path.name) is not None


def check_name(path: Path, film: Path) -> bool:
    """Return whether a path names an output of a video; UserError if it names another file."""
    if is_moving_name(path):
        return True
    if path.suffix.lower() in FILMS | readable_suffixes():
        raise UserError(
            f"{path}: the output of the video {film} cannot be written in this format; {NAMES}."
        )
    return False


def choose_suffix(source: Path, output: Output) -> str:
    """Return the suffix of the output of a video or an animated image in a folder."""
    if is_film(source):
        return ".webm" if output.has_alpha else ".mp4"
    return animation.choose_suffix(source, has_alpha=output.has_alpha)


def make_film(
    job: FilmJob, predictor: Predictor, output: Output, network: str
) -> tuple[Counter[str], bool]:
    """Make an output of a video or an animated image, a batch of frames at a time.

    If anything fails or interrupts it, no file is left, but for numbered images made so far.
    `network` is the fingerprint of the predictor's.

    Returns:
      Notes, such as what could not be kept, and whether anything salient was found.

    Raises:
      UserError: the source cannot be read to its end, or the output cannot be written.
    """
    salient: list[bool] = []
    with contextlib.closing(_open_film(job.source)) as film, _write(job, film, network) as writer:
        frames = tqdm(
            film.frames(writer.add_sound),
            total=film.length,
            desc=printable(job.source.name),
            unit="frame",
        )
        sources = ((frame, Original(frame.pixels, {})) for frame in frames)
        adjust = _see_frames_before(film, output)
        for frame, made in make_each(predictor, sources, [output], lambda _: job.target, adjust):
            if isinstance(made, UserError):
                raise made
            salient.append(made.is_salient)
            writer.add(made.pictures[0], frame)
    notes = Counter([*film.notes, *writer.notes])
    if any(salient) and not all(salient):
        notes[f"nothing salient was found in {salient.count(False)} of {len(salient)} frames"] = 1
    return notes, any(salient)


def _see_frames_before(film: Film, output: Output) -> Adjust[Frame]:
    """Return what smooths the map of a frame, and puts the frame of another video behind it."""
    smoother = Smoother(output.smooth) if output.smooth else None
    behind = None
    if isinstance(output.background, Path):
        behind = Backdrop(functools.partial(_open_film, output.background), film)

    def adjust(frame: Frame, saliency: np.ndarray) -> tuple[np.ndarray, list[Output]]:
        background = behind.at(frame.start * film.time_base) if behind else output.background
        smooth = smoother.add(saliency, frame.pixels) if smoother else saliency
        return smooth, [output._replace(background=background)]

    return adjust


@contextlib.contextmanager
def _write(job: FilmJob, film: Film, network: str) -> Iterator[FilmWriter]:
    """Yield a writer, and finish its file once the block has succeeded."""
    text = make_mark(network, job.fingerprint)
    if is_numbered(job.target):
        pictures = NumberedPictures(job.target, film, text)
        yield pictures
        pictures.finish()
        return
    with (
        atomic_write(job.target) as partial,
        contextlib.closing(_open_writer(partial, job.target, film, text)) as writer,
    ):
        yield writer
        writer.finish()


def _open_writer(partial: Path, target: Path, film: Film, text: str) -> FilmWriter:
    if target.suffix.lower() not in WRITTEN:
        return animation.AnimationWriter(partial, target, film, text)
    _, write = _import_video(target)
    return write(partial, target, film, text)


def _open_film(path: Path) -> Film:
    read, _ = _import_video(path) if is_film(path) else (animation.Animation, None)
    return read(path)


def _import_video(path: Path) -> tuple[Any, Any]:
    """Return the reader and the writer of videos for a path; UserError without PyAV."""
    try:
        from class_jax.jobs.video import video, writer  # noqa: PLC0415 - optional
    except ImportError as error:
        raise UserError(f"{path}: videos need PyAV: {HOW_TO_READ}.") from error
    return video.VideoReader, writer.VideoWriter
