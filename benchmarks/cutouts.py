"""What refining the alpha of cut-outs gains: errors over the image, and beside the object's edge.

    python -m benchmarks.cutouts MODEL FOLDER

MODEL is what `--model` takes, FOLDER holds `images` and `masks`. Printed, as means over the images:
the mean absolute error, the same within 5 pixels of the mask's edge, and there the share of pixels
on the wrong side of 0.5.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from class_jax import Predictor
from class_jax.data.images import load_mask, read_image
from class_jax.pictures import alpha

BAND = np.ones((11, 11), np.uint8)


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


def main() -> None:
    """Measure and print."""
    model, folder = sys.argv[1], Path(sys.argv[2])
    predictor, found = Predictor.load(model), {}
    for path in sorted((folder / "images").iterdir()):
        mask = load_mask(folder / "masks" / f"{path.stem}.png").levels
        image, hard = read_image(path), (mask > 128).astype(np.float32)
        for name, values in variants(image, predictor.predict(image)).items():
            found.setdefault(name, []).append(errors(values, hard))
    for name, rows in found.items():
        print(f"{name:30}", *(f"{value:.4f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main()
