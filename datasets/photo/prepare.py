"""Images and masks of the published sources, as the network "photo" learns from them."""

from pathlib import Path

import numpy as np
from PIL import Image

from class_jax.data.decode import TURNS, decode
from class_jax.data.images import load_image
from class_jax.errors import UserError
from class_jax.files import atomic_write
from class_jax.text import list_names
from datasets.photo.archives import Picture, load_coco, load_part
from datasets.photo.outlines import fill_polygon, read_outlines
from datasets.photo.sources import Source

QUALITY = 95  # of JPEG
BLACK, BLACK_SHARE = 16, 0.5  # a row of more pixels than this share below this level is cut


def prepare(source: Source, root: Path) -> None:
    """Fetch a source and write its images and masks, unless they are there.

    Raises:
      UserError: an archive cannot be fetched, or lacks images; the others were written.
    """
    left = {entry.key: entry for entry in source.entries if not (root / entry.image).exists()}
    if not left:
        return
    downloads = root / "downloads"
    found = load_coco(source, downloads, left.keys()) if source.coco else {}
    for part in source.part:
        found |= load_part(part, downloads, left.keys())
    for key in left.keys() & found.keys():
        image, mask = convert(found[key], source.side)
        if source.masks:
            with atomic_write(root / left[key].mask) as partial:
                mask.save(partial, format="PNG")
        with atomic_write(root / left[key].image) as partial:  # last: it tells that both are there
            image.save(partial, format="JPEG", quality=QUALITY)
    if missing := sorted(left[key].image.stem for key in left.keys() - found.keys()):
        raise UserError(f"no {list_names(missing)} in its archives, which are in {downloads}.")


def convert(picture: Picture, side: int) -> tuple[Image.Image, Image.Image]:
    """Return an image, upright and at most `side` pixels high and wide, and its mask, 0 or 255."""
    image = Image.fromarray(load_image(picture.image, upright=False).pixels)
    shapes = read_outlines(picture.kind, picture.outlines, image.height, image.width)
    if picture.trim:
        image = trim_black(image)
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    drawn = np.zeros((small.height, small.width), bool)
    for corners in shapes:
        fill_polygon(drawn, corners * (small.width / image.width, small.height / image.height))
    mask = Image.fromarray(np.where(drawn, np.uint8(255), np.uint8(0)))
    # Outlines are those of the image as it is stored.
    if turn := TURNS.get(decode(picture.image).orientation):
        return small.transpose(turn), mask.transpose(turn)
    return small, mask


def trim_black(image: Image.Image) -> Image.Image:
    """Cut black edges of an image, as of one that was turned."""
    is_black = np.asarray(image).max(axis=2) < BLACK
    rows, columns = (np.flatnonzero(is_black.mean(axis=axis) <= BLACK_SHARE) for axis in (1, 0))
    if not rows.size or not columns.size:
        return image
    return image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
