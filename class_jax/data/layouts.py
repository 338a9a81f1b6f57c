"""Find the folders of images and masks in the usual layouts of data sets."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from class_jax.data.folders import is_junk
from class_jax.data.matching import MASK_ENDINGS
from class_jax.errors import UserError
from class_jax.text import list_lines, list_names

# Words that say what a folder holds, in the singular.
KINDS = {
    "masks": {
        *("mask", "gt", "groundtruth", "ground", "truth", "label", "target", "annotation", "ann"),
        *("segmentation", "class", "matte", "alpha", "saliency", "pixelwisegt"),
    },
    "images": {
        *("image", "img", "im", "rgb", "input", "jpeg", "jpg", "photo", "picture", "original"),
        *("source", "src"),
    },
}
# Words that do not say so; the latter of DUT-OMRON's pixelwiseGT-new-PNG.
NEUTRAL = {"dir", "set", "data", "pixelwise", "new", "png"}
PARTS = {
    "train": {"train", "training", "tr"},
    "val": {"val", "valid", "validation", "vd", "dev"},
    "test": {"test", "testing", "te", "eval", "evaluation"},
    "trainval": {"trainval"},
}
NO_OUTLINES = "Masks are images: draw outlines of labelme, COCO, YOLO or VOC as PNG files first."


class Layout(NamedTuple):
    """The folders of the images and the masks of a data set; equal if they lie side by side."""

    images: Path
    masks: Path

    @property
    def is_flat(self) -> bool:
        """Return whether images and masks lie side by side in one folder."""
        return self.images == self.masks


def find_layout(root: Path, *, leaf: str, images: str = "", masks: str = "") -> Layout:
    """Return the only folders of images and masks of `find_layouts`, or those that are named.

    `images/train` and `images/test` are two sets.

    Args:
      root: folder that the user named.
      leaf: configuration leaf or flag that named it, for messages.
      images: folder of images below `root`, if the user named it.
      masks: folder of masks below `root`, likewise.

    Raises:
      UserError: no such folder, no known layout in it, or several.
    """
    if not root.is_dir():
        found = "is a file, not a folder of images and masks" if root.exists() else "does not exist"
        raise UserError(f"{leaf} = {root} {found}.")
    if images or masks:
        return _named_layout(root, images, masks)
    layouts = [part for layout in find_layouts(root) for part in split_parts(layout)]
    if not layouts:
        names = list_names(folder.name for folder in folders_in(root)) or "none"
        raise UserError(
            f"{leaf} = {root} holds no folder of images beside a folder of masks (folders: "
            f"{names}): expected for example images and masks, or name them: "
            f"config.data.images=FOLDER and config.data.masks=FOLDER, below it. {NO_OUTLINES}"
        )
    if len(layouts) > 1:
        raise UserError(f"{leaf} = {root} holds several sets:{_explain_several(layouts, root)}")
    return layouts[0]


def find_layouts(root: Path) -> list[Layout]:
    """Return the folders of images and masks in a folder, or else in its sub-folders.

    Any usual name of a folder of images goes with any usual one of masks, if what else the names
    say is the same, or if there is one of each and that of masks says no more: `Train-Image` and
    `Train-Mask`, `im_aug` and `gt_aug`, `DUT-OMRON-image` and `gt`.
    One folder may also hold both. `root` may be a folder of images whose masks lie beside it:
    `images/val` of `masks/val`.
    """
    inside = folders_in(root)
    return (
        layouts_in(root)
        or [layout for folder in inside for layout in layouts_in(folder)]
        or [Layout(folder, folder) for folder in (root,) if _is_flat(folder)]
        or _layouts_around(root)
        or [Layout(folder, folder) for folder in inside if _is_flat(folder)]
    )


def _explain_several(layouts: list[Layout], root: Path) -> str:
    """Return a line for each of several sets, and how one of them is named."""
    lines = [f"{_below(pair.images, root)} with {_below(pair.masks, root)}" for pair in layouts]
    parts: dict[str | None, Layout] = {}
    for layout in layouts:
        names = map(_part_of, layout.images.relative_to(root).parts)
        parts.setdefault(next(filter(None, names), None), layout)
    one, val = parts.get("train", layouts[0]), parts.get("val")
    text = (
        f"{list_lines(lines)}\nName one: config.data.images={_below(one.images, root)} and "
        f"config.data.masks={_below(one.masks, root)}, for example"
    )
    if val is None or val is one:
        return f"{text}."
    folder = val.images.parent if val.images.parent == val.masks.parent else val.images
    return f"{text}, and config.data.val_root={folder} to validate on."


def split_parts(layout: Layout) -> list[Layout]:
    """Return the layouts of train, val and test in a layout's folders; itself without such."""
    masks = {part: folder for folder in folders_in(layout.masks) if (part := _part_of(folder.name))}
    parts = {
        part: Layout(folder, masks[part])
        for folder in folders_in(layout.images)
        if (part := _part_of(folder.name)) in masks
    }
    return list(parts.values()) if len(parts) > 1 else [layout]


def layouts_in(root: Path) -> list[Layout]:
    """Return all layouts whose two folders lie in `root`, or as PASCAL-S has them."""
    pascal = Layout(root / "datasets/imgs/pascal", root / "datasets/masks/pascal")
    if pascal.images.is_dir() and pascal.masks.is_dir():
        return [pascal]
    kinds = [(folder, *kind_of(folder.name)) for folder in folders_in(root)]
    images, masks = (
        [(folder, rest) for folder, kind, rest in kinds if kind == wanted]
        for wanted in ("images", "masks")
    )
    are_single = len(images) == len(masks) == 1
    return [
        Layout(folder, other)
        for folder, rest in images
        for other, its_rest in masks
        if rest == its_rest or (are_single and not its_rest)
    ]


def kind_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Return "images", "masks" or None for a folder's name, and the rest of the name."""
    words = [re.sub("(?<!s)s$", "", word) for word in _words_of(name)]  # in the singular
    for kind, known in KINDS.items():
        if known & {*words}:
            return kind, tuple(word for word in words if word not in known | NEUTRAL)
    return None, ()


def _words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case: "TrainImages-2" → train, images, 2."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return [word for word in re.split(r"[\W_]+", spaced.lower()) if word]


def _part_of(name: str) -> str | None:
    """Return "train", "val" … if a folder's name says so, as `Train`, `val2017`, `test_images`."""
    others = (word for word in _words_of(name) if not kind_of(word)[0])
    words = {word.rstrip("0123456789") for word in others} - NEUTRAL - {""}
    return next((part for part, known in PARTS.items() if len(words) == 1 and words <= known), None)


def _layouts_around(images: Path) -> list[Layout]:
    """Return the layout of a folder of images whose masks lie beside it, or beside its parent."""
    beside = [layout for layout in layouts_in(images.parent) if layout.images == images]
    above = (part for layout in layouts_in(images.parent.parent) for part in split_parts(layout))
    return beside or [part for part in above if part.images == images]


def folders_in(root: Path) -> list[Path]:
    """Return the sub-folders of a folder, links to folders included, sorted."""
    with os.scandir(root) as entries:
        folders = [entry.name for entry in entries if entry.is_dir()]
    return sorted(root / name for name in folders if not is_junk(Path(name)))


def _named_layout(root: Path, images: str, masks: str) -> Layout:
    if not (images and masks):
        raise UserError(
            "config.data.images and config.data.masks belong together: name both folders."
        )
    layout = Layout(root / images, root / masks)
    for name, folder in layout._asdict().items():
        if not folder.is_dir():
            raise UserError(f"config.data.{name}: there is no folder {folder}.")
    return layout


def _is_flat(root: Path) -> bool:
    """Return whether x.jpg lies beside x.png or x_mask.png in the folder itself."""
    return all(split_flat([path for path in root.iterdir() if path.suffix and path.is_file()]))


def split_flat(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Split the files of one folder into images and masks.

    A PNG is a mask if its name has a mask's ending (`x_mask.png`), or if a JPEG of its name lies
    beside it.
    """
    photos = {path.stem for path in files if path.suffix.lower() in (".jpg", ".jpeg")}
    parts: tuple[list[Path], list[Path]] = [], []
    for path in files:
        is_beside = path.suffix.lower() == ".png" and path.stem in photos
        parts[is_beside or path.stem.lower().endswith(MASK_ENDINGS)].append(path)
    return parts


def _below(folder: Path, root: Path) -> str:
    return Path(os.path.relpath(folder, root)).as_posix()
