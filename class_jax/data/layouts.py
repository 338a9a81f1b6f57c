"""Finding the folder of images and the folder of masks in what people have on their disks."""

from pathlib import Path

from class_jax.errors import UserError

# (images, masks) as data sets unpack and as people lay them out; compared without case.
LAYOUTS = (
    ("duts-tr-image", "duts-tr-mask"),
    ("duts-te-image", "duts-te-mask"),
    ("images", "ground_truth_mask"),
    ("images", "masks"),
    ("images", "gts"),
    ("image", "mask"),
    ("imgs", "gts"),
    ("imgs", "gt"),
    ("im", "gt"),
    ("dut-omron-image", "pixelwisegt-new-png"),
    ("datasets/imgs/pascal", "datasets/masks/pascal"),
)


def find_layout(root: Path, *, leaf: str) -> tuple[Path, Path]:
    """The folders of images and of masks in `root`, or in its only sub-folder that has such.

    Args:
      root: what the user named.
      leaf: the flag or configuration leaf that named it, for messages.

    Raises:
      UserError: no such folder, no known layout in it, or several.
    """
    if not root.exists():
        raise UserError(f"{leaf} = {root}: there is no such folder.")
    if not root.is_dir():
        raise UserError(f"{leaf} = {root} is a file, and a folder of images and masks is needed.")
    found = _layouts_in(root)
    if not found:
        found = [pair for folder in sorted(_folders(root)) for pair in _layouts_in(folder)]
    if len(found) > 1:
        listed = "; ".join(f"{images} with {masks}" for images, masks in found)
        raise UserError(f"{leaf} = {root} holds several sets: {listed}. Name one of their folders.")
    if not found:
        inside = ", ".join(sorted(folder.name for folder in _folders(root))) or "none"
        accepted = ", ".join(f"{images} + {masks}" for images, masks in LAYOUTS)
        raise UserError(
            f"{leaf} = {root} holds no folder of images beside a folder of masks "
            f"(folders found: {inside}); accepted are {accepted}."
        )
    return found[0]


def _layouts_in(root: Path) -> list[tuple[Path, Path]]:
    pairs = ((_below(root, images), _below(root, masks)) for images, masks in LAYOUTS)
    return [(images, masks) for images, masks in pairs if images and masks]


def _below(root: Path, wanted: str) -> Path | None:
    """The folder `wanted` below `root`, whatever the case of its letters."""
    folder = root
    for part in wanted.split("/"):
        matches = sorted(each for each in _folders(folder) if each.name.lower() == part)
        if not matches:
            return None
        folder = matches[0]
    return folder


def _folders(root: Path) -> list[Path]:
    return [each for each in root.iterdir() if each.is_dir()]
