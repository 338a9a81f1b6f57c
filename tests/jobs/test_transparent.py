"""Files of cut-outs hold nothing of the photograph where they are transparent."""

import cv2
import numpy as np
import pytest
from PIL import Image

from class_jax.jobs.plan import plan_image_maps
from class_jax.jobs.run import make_outputs
from class_jax.pictures.settings import parse_output
from tests.jobs.video.stand_in import RedPredictor


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_other_programs_find_nothing_under_transparent_pixels(tmp_path, suffix):
    """By OpenCV's decoders: 0, or where a codec smears, the object's red; the picture is blue."""
    photograph = np.random.default_rng(0).integers(60, 256, (96, 128, 3), dtype=np.uint8)
    photograph[..., 0] = 0  # not salient
    photograph[20:50, 20:50] = (230, 0, 0)
    Image.fromarray(photograph).save(tmp_path / "a.png")
    target, output = tmp_path / f"cut{suffix}", parse_output("cutout", {})
    jobs, *_ = plan_image_maps([tmp_path / "a.png"], target, made=output)
    assert make_outputs(jobs, RedPredictor(), network="", title="", output=output).failed == {}
    found = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    if found is None:
        pytest.skip(f"this OpenCV reads no {suffix}")
    colours, hidden = found[..., 2::-1].astype(int), found[..., 3] == 0
    assert 8000 < hidden.sum() < 96 * 128 - 600
    is_the_photograph = np.abs(colours - photograph).max(-1) <= 8
    assert not is_the_photograph[hidden].any()
    is_exact = suffix in (".png", ".tif")  # codecs smear the object's red
    assert colours[hidden][:, 1:].mean() <= (0 if is_exact else 6)  # 157 in the photograph
