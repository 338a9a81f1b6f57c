"""Maps of videos with and without smoothing: error, and flicker where the mask does not change.

    python -m benchmarks.smooth OBJECTS BACKGROUNDS

OBJECTS is a folder with images and masks, BACKGROUNDS one with images. Eight objects stand still
for 16 frames, with the noise of a camera, then move for 16; the video is H.264. Two minutes on two
cores.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.record import Row, cpu, record
from class_jax import Predictor
from class_jax.data.images import Picture
from class_jax.data.resize import resize
from class_jax.jobs.video.along_time import Smoother
from class_jax.pictures.alpha import refine_alpha

SIZE, OBJECT, FRAMES, VIDEOS = (320, 240), 130, 32, 8
STILL = FRAMES // 2
SHARES = (0.5, 0.7, 0.9)


def compose(objects: Path, backgrounds: Path) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Yield videos, as decoded, and their masks, float32 [T, H, W]."""
    rng = np.random.default_rng(0)
    pictures = sorted((objects / "images").glob("*.jpg"))
    behind = sorted((backgrounds / "images").glob("*.jpg"))
    for _ in range(VIDEOS):
        path = pictures[rng.integers(len(pictures))]
        image, mask = cv2.imread(path), cv2.imread(objects / "masks" / f"{path.stem}.png", 0)
        box = [slice(np.min(at), np.max(at) + 1) for at in np.nonzero(mask)]
        scale = OBJECT / max(part.stop - part.start for part in box)
        image, mask = (
            cv2.resize(x[tuple(box)], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for x in (image, mask)
        )
        back = cv2.resize(cv2.imread(behind[rng.integers(len(behind))]), SIZE)
        x, y = 30.0, rng.uniform(20, 80)
        frames, masks = [], []
        for index in range(FRAMES):
            moved = max(0, index - STILL + 1)
            move = np.array([[1, 0, x + 3 * moved], [0, 1, y + 0.7 * moved]])
            alpha = cv2.warpAffine(mask, move, SIZE)[..., None] / 255
            frame = back * (1 - alpha) + cv2.warpAffine(image, move, SIZE) * alpha
            frame = frame * (1 + 0.02 * rng.standard_normal()) + rng.normal(0, 4, frame.shape)
            frames.append(np.clip(frame[..., ::-1], 0, 255).astype(np.uint8))
            masks.append(alpha[..., 0])
        yield encode(frames), np.array(masks)


def encode(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Return frames as they come out of an H.264 video."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "26"})
        (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def smooth(frames: list[np.ndarray], maps: np.ndarray, share: float) -> np.ndarray:
    """Return the maps of a video as `predict` smooths them."""
    smoother = Smoother(share)
    pairs = zip(frames, maps, strict=True)
    return np.array([refine_alpha(frame, smoother.add(x, frame)) for frame, x in pairs])


def measure(maps: np.ndarray, masks: np.ndarray) -> list[float]:
    """Return MAE and mean change where the mask stays: of the still half, of the moving one."""
    found = []
    for half in (slice(0, STILL), slice(STILL, FRAMES)):
        stays = np.abs(np.diff(masks[half], axis=0)) < 1 / 255
        change = np.abs(np.diff(maps[half], axis=0))
        found += [np.abs(maps[half] - masks[half]).mean(), change[stays].mean()]
    return found


def main() -> None:
    """Measure and write the rows."""
    predictor = Predictor()
    side = predictor.image_size
    results: dict[str, list[list[float]]] = {}
    for frames, masks in compose(*map(Path, sys.argv[1:3])):
        pictures = [Picture(resize(frame, side, side), *frame.shape[:2]) for frame in frames]
        maps = np.array(
            [x for at in range(0, FRAMES, 8) for x in predictor.maps(pictures[at : at + 8])]
        )
        results.setdefault("none", []).append(measure(maps, masks))
        for share in SHARES:
            results.setdefault(str(share), []).append(measure(smooth(frames, maps, share), masks))
    names = ("still: MAE", "still: change", "moving: MAE", "moving: change")
    rows = [
        Row(f"smooth {share}, {name}", cpu(), "of 0-1", value)
        for share, found in results.items()
        for name, value in zip(names, np.mean(found, 0).tolist(), strict=True)
    ]
    record("smooth", rows, ("av", "opencv-python-headless", "onnxruntime"))


if __name__ == "__main__":
    main()
