"""Images and outlines of the published sources, read in their archives: nothing is unpacked."""

import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from class_jax.errors import UserError
from datasets.download import Archive, download, list_members
from datasets.photo.outlines import cut_coco, load_polygons
from datasets.photo.sources import Part, Source

PACKED = (".tar", ".tar.gz")  # archives in an archive


class Picture(NamedTuple):
    """An image of a source: its file, and what `read_outlines` takes, if it has outlines."""

    image: bytes
    kind: str = ""
    outlines: Any = None
    trim: bool = False


def read_members(archive: Path, is_wanted: Callable[[str], Any]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files in a zip archive, and in tar archives in it, with their names.

    Raises:
      UserError: the archive is broken, or names a file outside of itself.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            for member, path in list_members(source, archive):
                if path.name.endswith(PACKED):
                    with source.open(member) as packed:
                        yield from _read_tar(packed, is_wanted)
                elif is_wanted(str(path)):
                    yield str(path), source.read(member)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"{archive} is not a complete archive ({error}): delete it and fetch it again."
        ) from error


def _read_tar(packed: IO[bytes], is_wanted: Callable[[str], Any]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=packed, mode="r|*") as source:
        for entry in source:
            file = source.extractfile(entry) if entry.isfile() and is_wanted(entry.name) else None
            if file:
                yield entry.name, file.read()


def identify(name: str, pattern: str, key: str) -> tuple[str, str]:
    """Return the key of the image that a file belongs to, and its version; "" if to none.

    Keys are in small letters: Caltech-101's folders of images and of outlines differ there.
    """
    match = re.search(pattern, name)
    return (key.format(*match.groups()[:-1]).lower(), match.groups()[-1]) if match else ("", "")


def load_part(part: Part, downloads: Path, keys: Collection[str]) -> dict[str, Picture]:
    """Return the images in an archive, downloaded if it was not, by their keys."""
    archive = download(Archive(**part.archive), downloads)

    def load(pattern: str) -> dict[str, Any]:
        members = read_members(archive, lambda name: identify(name, pattern, part.key)[0] in keys)
        return choose_versions(members, pattern, part.key)

    images = load(part.image)
    if not part.outlines:
        return {key: Picture(image, trim=part.trim) for key, image in images.items()}
    if part.read == "coco":
        files = read_members(archive, re.compile(part.outlines).search)
        polygons = [item for _, file in files for item in load_polygons(json.loads(file)).items()]
        outlines = choose_versions(polygons, part.image, part.key)
    else:
        outlines = load(part.outlines)
    shared = images.keys() & outlines.keys()
    return {key: Picture(images[key], part.read, outlines[key]) for key in shared}


def choose_versions(files: Iterable[tuple[str, Any]], pattern: str, key: str) -> dict[str, Any]:
    """Return one content for each image: of several versions, the first by its name."""
    found: dict[str, tuple[str, Any]] = {}
    for name, content in files:
        picture, version = identify(name, pattern, key)
        if picture not in found or version < found[picture][0]:
            found[picture] = version, content
    return {picture: content for picture, (_, content) in found.items()}


def load_coco(source: Source, downloads: Path, keys: Collection[str]) -> dict[str, Picture]:
    """Return images of COCO 2017, fetched one by one, by their numbers."""

    def fetch(part: str, key: str) -> bytes:
        archive = Archive(f"{key}.jpg", f"{source.coco}/{part}/{key}.jpg")
        return download(archive, downloads / part).read_bytes()

    if not source.annotations:
        return {key: Picture(fetch("val2017", key)) for key in keys}
    archive = download(Archive(**source.annotations), downloads)
    found: dict[str, Picture] = {}
    for part in ("val2017", "train2017"):
        names = {f"{key}.jpg" for key in keys if key not in found}
        members = {f"annotations/instances_{part}.json"} if names else ()
        for _, file in read_members(archive, members.__contains__):
            content = cut_coco(json.loads(file), names, category=source.category)
            for name, polygons in load_polygons(content).items():
                key = Path(name).stem
                found[key] = Picture(fetch(part, key), "coco", polygons)
    return found
