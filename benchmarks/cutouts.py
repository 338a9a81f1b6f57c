"""What refining the alpha of cut-outs gains: errors over the image, and beside the object's edge.

    python -m benchmarks.cutouts MODEL FOLDER

MODEL is what `--model` takes, FOLDER holds `images` and `masks`. Printed, as means over the images:
the mean absolute error, the same within 5 pixels of the mask's edge, and there the share of pixels
on the wrong side of 0.5. Then the error of colours where alpha is soft: each object, with its own
colours continued outwards, is laid on another photograph of the folder, cut out by its known alpha
and laid on a third colour, beside plain copying of the composite's colours.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from class_jax import Predictor
from class_jax.data.images import load_image
from class_jax.data.masks import load_mask
from class_jax.pictures import alpha
from class_jax.pictures.drawing import lay_over

BAND = np.ones((11, 11), np.uint8)
THIRD = (40, 200, 90)
SOFTNESS = 1 / 200  # of the longer side: sigma of the edge


def variants(image: np.ndarray, saliency: np.ndarray) -> dict[str, np.ndarray]:
    """Return the alphas to compare."""
    refined = alpha.refine_alpha(image, saliency)
    return {
        "the map": saliency,
        "more contrast alone": np.clip(alpha.CONTRAST * (saliency - 0.5) + 0.5, 0, 1),
        "guided filter, then contrast": refined,
    }


def errors(values: np.ndarray, mask: np.ndarray) -> tuple[float, float, float]:
    """Return the three errors of an alpha."""
    near = cv2.dilate(mask, BAND) != cv2.erode(mask, BAND)
    difference = np.abs(values - mask)
    return difference.mean(), difference[near].mean(), ((values > 0.5) != (mask > 0.5))[near].mean()


def extend_colours(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return an image in which the colours well inside a mask continue outside of it."""
    inner = cv2.erode(mask, np.ones((9, 9), np.uint8)).astype(np.uint8)
    if not inner.any():
        return image
    _, labels = cv2.distanceTransformWithLabels(
        1 - inner, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros((labels.max() + 1, 3), np.float32)
    nearest[labels[inner > 0]] = image[inner > 0]
    outside = cv2.GaussianBlur(nearest[labels], (0, 0), 1)
    return np.where(inner[..., None] > 0, image, np.rint(outside)).astype(np.uint8)


def colour_errors(image: np.ndarray, mask: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the error of estimated colours, and of copied ones, in levels."""
    fore = extend_colours(image, mask)
    behind = cv2.resize(other, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(mask, (0, 0), SOFTNESS * max(mask.shape))
    composite, third = lay_over(fore, soft, behind), np.full_like(image, THIRD)
    truth = soft[..., None] * fore + (1 - soft[..., None]) * third
    colours = (alpha.estimate_foreground(composite, soft), composite)
    edge = (soft > 0.05) & (soft < 0.95)
    ours, copied = (np.abs(lay_over(x, soft, third) - truth)[edge].mean() for x in colours)
    return float(ours), float(copied)


def main() -> None:
    """Measure and print."""
    model, folder = sys.argv[1], Path(sys.argv[2])
    predictor, colours, other = Predictor.load(model), [], None
    found: dict[str, list[tuple[float, float, float]]] = {}
    for path in sorted((folder / "images").iterdir()):
        mask = load_mask(folder / "masks" / f"{path.stem}.png").levels
        image, hard = load_image(path).pixels, (mask > 128).astype(np.float32)
        for name, values in variants(image, predictor.predict(image)).items():
            found.setdefault(name, []).append(errors(values, hard))
        if other is not None and 0 < hard.mean() < 1:
            colours.append(colour_errors(image, hard, other))
        other = image
    for name, rows in found.items():
        print(f"{name:30}", *(f"{value:.4f}" for value in np.mean(rows, axis=0)))
    estimated, copied = np.mean(colours, axis=0)
    print(f"colours on a third: {estimated:.2f} levels, {copied:.2f} by copying")


if __name__ == "__main__":
    main()
