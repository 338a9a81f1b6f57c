"""Self-training: masks of photographs without masks, where a network agrees with itself.

    python -m datasets.photo.relabel NETWORK IMAGES OUTPUT

OUTPUT gets `images` (copies) and `masks` of the photographs that are kept, as training reads them.
"""

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from class_jax import Predictor
from class_jax.pictures.alpha import refine_alpha

WINDOW = 0.8  # of each side: the part in the middle that is looked at on its own
AGREEMENT = 0.85  # least intersection over union of two views' masks
AREAS = (0.02, 0.75)  # salient share of an image that is kept
SURE = 0.1  # levels this near to 0 or 1 are sure
SURE_SHARE = 0.85  # of the pixels, at least


def label_picture(predictor: Predictor, image: np.ndarray) -> np.ndarray | None:
    """Return a mask, uint8 [H, W], of an image, uint8 [H, W, 3]; None if it cannot be trusted.

    The image, its mirror image and its middle alone are looked at. The mask is the mean of the
    first two, its edges moved to the image's.
    """
    height, width = image.shape[:2]
    top, left = (round(side * (1 - WINDOW) / 2) for side in (height, width))
    middle = np.s_[top : height - top, left : width - left]
    views = [image, image[:, ::-1], image[middle]]
    plain, mirrored, part = predictor.predict([np.ascontiguousarray(view) for view in views])
    mirrored = mirrored[:, ::-1]
    mean = (plain + mirrored) / 2
    sure = (np.minimum(mean, 1 - mean) < SURE).mean()
    is_trusted = (
        AREAS[0] < (mean > 0.5).mean() < AREAS[1]
        and sure >= SURE_SHARE
        and overlap(plain, mirrored) >= AGREEMENT
        and overlap(mean[middle], part) >= AGREEMENT
    )
    if not is_trusted:
        return None
    return np.rint(255 * refine_alpha(image, mean.astype(np.float32))).astype(np.uint8)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two maps above ½; 0 where both are empty."""
    first, second = one > 0.5, other > 0.5
    return float((first & second).sum() / max(1, (first | second).sum()))


def label_folder(predictor: Predictor, images: Path, output: Path) -> tuple[int, int]:
    """Write images and masks that can be trusted; return how many were kept, and looked at."""
    paths = sorted(path for path in images.iterdir() if path.is_file())
    for part in ("images", "masks"):
        (output / part).mkdir(parents=True, exist_ok=True)
    kept = 0
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        mask = label_picture(predictor, image)
        if mask is not None:
            shutil.copy(path, output / "images" / path.name)
            cv2.imwrite(str(output / "masks" / f"{path.stem}.png"), mask)
            kept += 1
    return kept, len(paths)


def main() -> None:
    """Label the photographs of a folder."""
    parser = argparse.ArgumentParser(prog="python -m datasets.photo.relabel")
    parser.add_argument("network", help="what --model takes")
    parser.add_argument("images", type=Path)
    parser.add_argument("output", type=Path)
    flags = parser.parse_args()
    kept, total = label_folder(Predictor.load(flags.network), flags.images, flags.output)
    print(f"{kept} of {total} photographs were labelled")


if __name__ == "__main__":
    main()
