"""Outputs to make, and the marks in those that were made here: of network and source.

A mark tells finished files from those of another network or image, and ours from a user's.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from class_jax.data.folders import is_video
from class_jax.data.images import Original, write_picture
from class_jax.pictures.pipeline import Reader

KEY = "class_jax"
SOFTWARE = 0x000B  # EXIF's ProcessingSoftware, which cameras leave alone


class Job(NamedTuple):
    """An output to make."""

    target: Path  # a file, or the pattern of numbered images
    source: Path | Reader  # the image's or the video's file, or what reads the image
    fingerprint: str  # of the source
    moves: bool = False  # it is made of all frames of a video or an animated image

    def mark(self, network: str) -> str:
        """Return the mark of the output, from the fingerprints of its network and its source."""
        text = os.fsencode(f"{network} {self.fingerprint}")
        return hashlib.sha256(text).hexdigest()[:32]


def write_marked(path: Path, pixels: np.ndarray, mark: str, like: Original | None = None) -> None:
    """Write an image with its mark, atomically; see `images.write_picture`."""
    kind = Image.registered_extensions()[path.suffix.lower()]
    write_picture(path, pixels, like=like, **options_of(kind, mark, like))


def options_of(kind: str, mark: str, like: Original | None = None) -> dict[str, Any]:
    """Return the options by which Pillow keeps a mark in a file, if its format has room for one."""
    if kind == "GIF":
        return {"comment": write_comment(mark).encode()}
    exif = Image.Exif()
    if like and "exif" in like.metadata:
        exif.load(like.metadata["exif"])
    exif[SOFTWARE] = write_comment(mark)
    return {"exif": exif}


def write_comment(mark: str) -> str:
    """Return the text that keeps a mark in a video or an animated image."""
    return f"{KEY} {mark}"


def read_mark(path: Path) -> str | None:
    """Return the mark in a file that was made here; None if it holds none."""
    if is_video(path):
        try:
            from class_jax.jobs.video.reader import read_comment  # noqa: PLC0415 - optional
        except ImportError:
            return None
        return _parse_comment(read_comment(path))
    try:
        with Image.open(path) as image:
            comment = image.info.get("comment", b"")
            text = comment.decode("latin-1") if isinstance(comment, bytes) else str(comment)
            return _parse_comment(text) or _parse_comment(str(image.getexif().get(SOFTWARE, "")))
    except Exception:  # Pillow's parsers raise whatever a damaged file leads to
        return None


def _parse_comment(text: str) -> str | None:
    key, _, mark = text.partition(" ")
    return mark if key == KEY else None
