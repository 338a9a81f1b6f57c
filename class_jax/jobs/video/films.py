"""Films and animated pictures: which files they give, and how those are made."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tqdm import tqdm

from class_jax.data.folders import FILMS
from class_jax.data.images import Original
from class_jax.errors import UserError
from class_jax.files import atomic_write
from class_jax.jobs.marks import make_mark
from class_jax.jobs.video import animation
from class_jax.jobs.video.frames import NUMBERED, Film, FilmWriter
from class_jax.pictures.outputs import Output
from class_jax.pictures.pipeline import make_each
from class_jax.pictures.predictor import Predictor
from class_jax.text import printable

WRITTEN = (".mp4", ".webm", ".mov")  # films; all but .mp4 may be transparent
NAMES = "name a .mp4, .webm or .mov file, numbered pictures such as frames/%05d.png, or a folder"
HOW_TO_READ = "pip install av"


class FilmJob(NamedTuple):
    """An output to make of a film or an animated picture."""

    target: Path  # a film, an animated picture, or the pattern of numbered pictures
    source: Path
    fingerprint: str  # of the source


def is_film(path: Path) -> bool:
    """Return whether a file is a film, by its name."""
    return path.suffix.lower() in FILMS


def explain_refusal(output: Output) -> str | None:
    """Return why an output is not made of films here; None if it is."""
    if not output.moves:
        return "films are not cropped, and have no attention sheets"
    return None if _find_video() else HOW_TO_READ


def is_moving_name(path: Path) -> bool:
    """Return whether a path names something that has frames, and that can be written."""
    suffix = path.suffix.lower()
    return suffix in (*WRITTEN, *animation.NAMED) or is_numbered(path)


def is_numbered(path: Path) -> bool:
    """Return whether a path is the pattern of numbered pictures."""
    return NUMBERED.search(path.name) is not None


def check_name(path: Path, film: Path) -> bool:
    """Return whether a path names an output of a film; UserError if it names another file."""
    if path.suffix.lower() in WRITTEN or is_numbered(path):
        return True
    if path.suffix.lower() in FILMS | animation.SUFFIXES:
        raise UserError(f"{path}: no output of the film {film} is written as that; {NAMES}.")
    return False


def choose_suffix(source: Path, output: Output) -> str:
    """Return the suffix of the output of a film or an animated picture in a folder."""
    if is_film(source):
        return ".webm" if output.has_alpha else ".mp4"
    return animation.choose_suffix(source, has_alpha=output.has_alpha)


def make_film(job: FilmJob, predictor: Predictor, output: Output, network: str) -> Counter[str]:
    """Make an output of a film or an animated picture, a batch of frames at a time.

    If anything fails or interrupts it, no file is left, but for numbered pictures made so far.

    Args:
      job: the source and the file to write.
      predictor: the network.
      output: what to make.
      network: its fingerprint.

    Returns:
      What could not be kept of the source.

    Raises:
      UserError: the source cannot be read to its end, or the output cannot be written.
    """
    with contextlib.closing(_open_film(job.source)) as film, _write(job, film, network) as writer:
        frames = tqdm(
            film.frames(writer.add_sound),
            total=film.length,
            desc=printable(job.source.name),
            unit="frame",
        )
        sources = ((frame, Original(frame.pixels, {})) for frame in frames)
        for frame, made in make_each(predictor, sources, output, lambda _: job.target):
            if isinstance(made, UserError):
                raise made
            writer.add(made.pictures[0], frame)
    return Counter([*film.notes, *writer.notes])


def _open_film(path: Path) -> Film:
    if not is_film(path):
        return animation.Animation(path)
    from class_jax.jobs.video.video import VideoReader  # noqa: PLC0415 - optional

    return VideoReader(path)


@contextlib.contextmanager
def _write(job: FilmJob, film: Film, network: str) -> Iterator[FilmWriter]:
    """Yield a writer, and finish its file once the block has succeeded."""
    text = make_mark(network, job.fingerprint)
    if is_numbered(job.target):
        pictures = animation.NumberedPictures(job.target, text)
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
    if not _find_video():
        raise UserError(f"{target}: films need PyAV: {HOW_TO_READ}.")
    from class_jax.jobs.video.writer import VideoWriter  # noqa: PLC0415 - optional

    return VideoWriter(partial, target, film, text)


def _find_video() -> ModuleType | None:
    """Return the module that reads films, which needs PyAV; None without it."""
    try:
        from class_jax.jobs.video import video  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return video
