"""Properties of masks, against shapes with known ones and SciPy, and the groups they make."""

import dataclasses

import cv2
import numpy as np
import pytest
from scipy import ndimage

from class_jax.evaluation.breakdowns import (
    PROPERTIES,
    SPECK,
    break_down,
    describe_mask,
    find_groups,
    measure_contrast,
    measure_regions,
)
from class_jax.evaluation.statistics import summarize
from tests.evaluation.measurements import images_of
from tests.evaluation.test_statistics import plain_figures


def describe(mask, image=None):
    return dict(zip(PROPERTIES, describe_mask(mask, image), strict=True))


def disc(radius, *, side=200, centre=(100, 100)):
    y, x = np.mgrid[:side, :side]
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def test_a_disc():
    found = describe(disc(50))
    assert found["area"] == pytest.approx(np.pi * 50**2 / 200**2, rel=0.01)
    assert found["outline"] == pytest.approx(4 * np.pi, rel=0.03)
    assert (found["objects"], found["holes"], found["border"]) == (1, 0, 0)
    assert np.isnan(found["contrast"])


def test_objects_holes_and_the_border():
    mask = disc(20, centre=(40, 40)) | disc(20, centre=(199, 120)) | disc(30, centre=(60, 140))
    mask &= ~disc(8, centre=(60, 140))
    mask[100, 100] = True  # a speck, and a pinhole
    mask[40, 40] = False
    found = describe(mask)
    assert (found["objects"], found["holes"], found["border"]) == (3, 1, 1)


def plain_perimeter(mask):
    """Crofton's formula: steps between salient and other pixels along the lines of 4 directions."""
    padded = np.pad(mask, 1)
    straight = np.diff(padded, axis=0).sum() + np.diff(padded, axis=1).sum()
    diagonal = (padded[1:, 1:] != padded[:-1, :-1]).sum()
    diagonal += (padded[1:, :-1] != padded[:-1, 1:]).sum()
    return np.pi / 8 * (straight + diagonal / np.sqrt(2))


@pytest.mark.parametrize("seed", range(12))
def test_regions_are_those_that_scipy_labels(seed):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 1 + seed % 4)
    mask = noise > np.quantile(noise, (0.3, 0.5, 0.8)[seed % 3])
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = [np.count_nonzero(labels == i + 1) for i in range(count)]
    around, others = ndimage.label(np.pad(~mask, 1, constant_values=True))
    holes = [np.count_nonzero(around == i + 1) for i in range(others)]
    smallest = SPECK * mask.sum()
    expected = sum(s >= smallest for s in sizes), sum(h >= smallest for h in holes) - 1
    assert measure_regions(mask) == (*expected, pytest.approx(plain_perimeter(mask)))


def test_masks_without_an_object_or_without_surroundings():
    empty, full = np.zeros((9, 9), bool), np.ones((9, 9), bool)
    found = describe(empty, np.zeros((9, 9, 3), np.uint8))
    assert (found["area"], found["objects"], found["holes"]) == (0, 0, 0)
    assert np.isnan([found["outline"], found["contrast"]]).all()
    found = describe(full, np.zeros((9, 9, 3), np.uint8))
    assert (found["area"], found["objects"], found["border"]) == (1, 1, 1)
    assert np.isnan(found["contrast"])


def test_contrast_is_the_distance_of_colours_near_the_object():
    mask = disc(30)
    image = np.full((200, 200, 3), 255, np.uint8)
    image[disc(90)] = 0
    image[mask] = (119, 119, 119)  # L* = 50.0 by the CIE's formula for sRGB grey 119
    assert measure_contrast(mask, image) == pytest.approx(50.0, abs=0.2)  # black is near, not white
    assert describe(mask, image[::2, ::2])["contrast"] == pytest.approx(50, abs=3)  # of other size


def test_groups_share_out_the_images():
    rng = np.random.default_rng(0)
    properties = np.stack(
        [
            rng.uniform(0, 0.5, 90),
            rng.integers(0, 5, 90),
            rng.integers(0, 2, 90),
            rng.uniform(13, 99, 90),
            rng.integers(0, 3, 90),
            np.where(np.arange(90) < 30, np.nan, rng.uniform(0, 50, 90)),
        ],
        axis=1,
    )
    groups = {(PROPERTIES[index], name): rows for index, name, rows in find_groups(properties)}
    for name, column in zip(PROPERTIES, properties.T, strict=True):
        parts = [g for (kind, part), g in groups.items() if kind == name and "%" not in part]
        rows = np.concatenate(parts)
        assert sorted(rows) == list(np.flatnonzero(np.isfinite(column)))
    assert [len(groups["area", f"{part} third"]) for part in ("lowest", "highest")] == [30, 30]
    small = groups["area", "below 2 %"]
    assert list(small) == list(np.flatnonzero(properties[:, 0] < 0.02))
    assert list(groups["objects", "2"]) == list(np.flatnonzero(properties[:, 1] == 2))
    assert ("contrast", "lowest third") in groups
    no_images = properties[:, :5], np.full((90, 1), np.nan)
    assert 5 not in {index for index, _, _ in find_groups(np.hstack(no_images))}  # of contrast


@pytest.mark.parametrize("protocol", ["pysod", "matlab"])
def test_scores_of_a_group_are_those_of_its_images_alone(protocol):
    measured, properties = images_of(protocol), np.zeros((60, 6))
    properties[:, 1] = np.arange(60) % 3
    groups = {(g.property, g.name): g for g in break_down(measured, properties)}
    found = groups["objects", "2"]
    rows = np.flatnonzero(properties[:, 1] == 2)
    assert (found.images, found.low, found.high) == (20, 2, 2)
    assert found.figures == pytest.approx(plain_figures(measured, rows), rel=0, abs=1e-12)
    alone = dataclasses.replace(measured, sums=measured.sums[rows])
    for name, interval in summarize(alone).intervals().items():
        assert found.intervals[name] == pytest.approx(interval, rel=0, abs=1e-9)
