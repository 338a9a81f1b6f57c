"""Image files below a folder, and what is left out of it."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from class_jax.data.decode import readable_suffixes
from class_jax.text import list_names

JUNK_FOLDER = "__macosx"


def _suffixes(text: str) -> frozenset[str]:
    return frozenset(f".{word}" for word in text.split())


# Videos that PyAV reads.
VIDEOS = _suffixes("""
    mp4 m4v mov qt 3gp 3gpp 3g2 f4v mj2 mkv mk3d webm avi divx wmv asf mpg mpeg mpe m1v m2v vob
    ts mts m2ts m2t flv ogv ogm mxf gxf rm rmvb dv nut y4m ivf h264 264 h265 265 hevc mjpg mjpeg amv
    nsv wtv insv lrv
""")
RAW = _suffixes("""
    3fr ari arw bay cr2 cr3 crw cap dcr dcs dng drf eip erf fff gpr iiq k25 kdc mdc mef mos mrw nef
    nrw orf ori pef ptx pxn raf raw rw2 rwl rwz sr2 srf srw sti x3f
""")
HEIF = _suffixes("heic heif hif heics heifs")
OTHER_IMAGES = _suffixes("""
    svg svgz eps ps ai pdf xcf kra ora psb npy jxl jxr wdp hdp exr hdr wmf emf cdr djvu bpg flif
""")
NOT_IMAGES = VIDEOS | RAW | HEIF | OTHER_IMAGES  # unless a plugin reads them
ADVICE = (
    (HEIF, "pip install pillow-heif"),
    (VIDEOS, "a video"),
    (RAW, "a raw photograph: export it as JPEG"),
    (OTHER_IMAGES, "convert it to PNG or JPEG"),
)
MISNAMED = "an image or video by its content: rename it, to end in .jpg for example"
# The first bytes of usual images and videos; a dot stands for any byte.
SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|II\*\0|MM\0\*|BM.{4}\0{4}|8BPS|\0\0\0\x0c(jP|JXL) |"
    rb".{4}ftyp(?!M4A)|RIFF.{4}(WEBP|AVI )|\x1aE\xdf\xa3|FLV\x01|0&\xb2u|\0\0\x01[\xba\xb3]",
    re.DOTALL,
)


class Found(NamedTuple):
    """The files below a folder."""

    images: list[Path]  # that can be read, by their suffixes; sorted
    left_out: list[Path]  # that are images or videos by name or content, and are not read
    problems: list[str]  # sub-folders that cannot be listed


def find_images(folder: Path) -> Found:
    """Return the image files below a folder, sorted; links to folders are followed once.

    A link to nowhere counts as an image, so that reading it names it. Hidden files, pipes and
    what file managers leave behind do not count.
    """
    images, left_out, problems = [], [], []

    def note(error: OSError) -> None:
        problems.append(f"the folder {error.filename} cannot be read ({error.strerror})")

    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=note, followlinks=True):
        # Each real folder once: links may form a loop.
        inside = {os.path.realpath(f"{parent}/{name}"): name for name in reversed(folders)}
        folders[:] = [name for real, name in reversed(inside.items()) if real not in seen]
        seen |= inside.keys()
        for path in (Path(parent, name) for name in names):
            if is_junk(path.relative_to(folder)) or not (path.is_file() or not path.exists()):
                continue  # a pipe or socket would block whoever opens it
            if path.suffix.lower() in readable_suffixes():
                images.append(path)
            elif path.suffix.lower() in NOT_IMAGES or _is_misnamed(path):
                left_out.append(path)
    return Found(sorted(images), sorted(left_out), problems)


def describe_left_out(paths: Iterable[Path], *, videos: str | None = None) -> list[str]:
    """Return lines such as "2 .heic left out: advice (a.heic, b.heic)"; `videos` is for videos."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for path in sorted(paths):
        advice = (is_video(path) and videos) or advise(path)
        kind = "of no known suffix" if advice == MISNAMED else path.suffix.lower()
        kinds.setdefault((kind, advice), []).append(path.name)
    return [
        f"{len(names)} {kind} left out: {advice} ({list_names(names)})"
        for (kind, advice), names in kinds.items()
    ]


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its name."""
    return path.suffix.lower() in VIDEOS


def advise(path: Path) -> str:
    """Return what to do with a file that is left out."""
    return next((advice for kind, advice in ADVICE if path.suffix.lower() in kind), MISNAMED)


def _is_misnamed(path: Path) -> bool:
    """Return whether the content of a file is an image or a video; its name does not say so."""
    try:
        with path.open("rb") as file:
            return SIGNATURES.match(file.read(16)) is not None
    except OSError:
        return False


def index_by_stem(paths: Iterable[Path], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return files by their path below `folder` without suffix, and a line for each double.

    Files that share a name are left out: it is ambiguous which one is meant.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    single = {name: files[0] for name, files in found.items() if len(files) == 1}
    return single, {
        name: f"{' and '.join(map(str, files))} have the same name {name}"
        for name, files in found.items()
        if name not in single
    }


def file_fingerprint(path: Path) -> str:
    """Return a text that changes when the file does: its path, time and size."""
    try:
        file = path.stat()
    except OSError:
        return f"{path} absent"
    return f"{path} {file.st_mtime_ns} {file.st_size}"


def is_junk(path: Path) -> bool:
    """Return whether a path is hidden or in __MACOSX, as file managers leave files in archives."""
    return any(part.startswith(".") or part.lower() == JUNK_FOLDER for part in path.parts)
