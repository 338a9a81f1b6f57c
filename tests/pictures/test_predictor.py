"""Maps at each image's own size, the same in any batch; mistakes in a sentence."""

import os
import subprocess
import sys

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from class_jax import Predictor
from class_jax.errors import UserError
from class_jax.networks.jax_engine import JaxEngine
from datasets.synthetic import SyntheticSource
from tests.program import ROOT
from tests.small_run import mesh_of


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def predictor(small_network):
    values = small_network.initialize(0)
    return Predictor(JaxEngine(small_network, values, image_size=64, batch_size=3, mesh=mesh_of(2)))


def test_a_map_is_the_sigmoid_of_resized_logits(predictor, small_network):
    image = picture(50, 81)
    squeezed = cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    variables = jax.tree.map(jnp.asarray, small_network.initialize(0))
    logits = small_network.apply(variables, jnp.asarray(squeezed[None]))[0, 0]
    # Half-pixel bilinear resizing, by the definition.
    expected = 1 / (1 + np.exp(-bilinear(np.asarray(logits, np.float64), 50, 81)))
    saliency = predictor.predict(image)
    assert saliency.shape == (50, 81)
    assert saliency.dtype == np.float32
    np.testing.assert_allclose(saliency, expected, atol=1e-4)


def bilinear(x, height, width):
    def weights(old, new):
        centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old)))

    return weights(x.shape[0], height) @ x @ weights(x.shape[1], width).T


def test_a_list_gives_a_list_whatever_the_batches(predictor):
    images = [picture(40 + 7 * index, 60 - 5 * index, seed=index) for index in range(5)]
    maps = predictor.predict(images)
    assert [saliency.shape for saliency in maps] == [image.shape[:2] for image in images]
    for image, saliency in zip(images, maps, strict=True):
        np.testing.assert_allclose(predictor.predict(image), saliency, atol=1e-5)
    assert predictor.predict([]) == []


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_other_arrays_are_refused(predictor, wrong):
    with pytest.raises(ValueError, match=r"expected uint8 RGB \[H, W, 3\]"):
        predictor.predict(wrong)


def test_every_kind_of_image_gives_the_same_map(predictor, tmp_path):
    image = picture(40, 60)
    Image.fromarray(image).save(tmp_path / "a.png")
    expected = predictor.predict(image)
    with (tmp_path / "a.png").open("rb") as file:
        for source in (tmp_path / "a.png", str(tmp_path / "a.png"), file,
                       (tmp_path / "a.png").read_bytes(), Image.fromarray(image)):  # fmt: skip
            np.testing.assert_allclose(predictor.predict(source), expected, atol=1e-5)
        file.seek(0)
        (first, second) = predictor.predict([file, Image.fromarray(image)])
    np.testing.assert_allclose(first, expected, atol=1e-5)
    np.testing.assert_allclose(second, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [3, None, object(), [3.5], {"a": 1}])
def test_other_types_are_refused_with_what_is_expected(predictor, wrong):
    with pytest.raises(TypeError, match=r"a path, bytes, an open binary file or a PIL image"):
        predictor.predict(wrong)


def test_an_empty_array_is_refused(predictor):
    with pytest.raises(ValueError, match="not empty, got"):
        predictor.predict(np.zeros((0, 5, 3), np.uint8))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_map_of_a_large_noisy_scene_is_that_of_its_area_shrunk_copy(
    predictor, tmp_path, suffix
):
    rng = np.random.default_rng(0)
    scene = SyntheticSource(1, seed=1, image_size=(1024, 1024)).load(0)["image"]
    noisy = (scene + rng.normal(0, 40, scene.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / f"a.{suffix}", quality=98)
    stored = np.asarray(Image.open(tmp_path / f"a.{suffix}"))
    shrunk = cv2.resize(stored, (64, 64), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(predictor.predict(shrunk), (1024, 1024))
    plain = cv2.resize(stored, (64, 64), interpolation=cv2.INTER_LINEAR)
    aliased = np.abs(cv2.resize(predictor.predict(plain), (1024, 1024)) - expected).max()
    difference = np.abs(predictor.predict(tmp_path / f"a.{suffix}") - expected)
    # A JPEG is decoded at a reduced scale, which averages before values are clipped to 0-255.
    assert (difference.max() if suffix == "png" else difference.mean()) < 1 / 255
    assert difference.max() < aliased / 2


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no trained network"):
        Predictor.load(tmp_path)


def test_loading_says_nothing(trained):
    code = f"from class_jax import Predictor; Predictor.load({str(trained)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


FORKED = """
import os
import numpy as np
from class_jax import Predictor

class Engine:
    image_size, batch_size, device = 8, 2, ""
    def logits(self, images):
        return np.zeros((len(images), 8, 8), np.float32)

predictor = Predictor(Engine())
picture = np.zeros((4, 5, 3), np.uint8)
if os.fork():
    os.wait()
    print(predictor.predict(picture).shape)
else:
    try:
        predictor.predict(picture)
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_predictor_is_not_used_in_a_forked_process():
    done = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True,
                          check=True)  # fmt: skip
    child, parent = done.stdout.splitlines()
    assert "made before the process was forked" in child
    assert parent == "(4, 5)"
