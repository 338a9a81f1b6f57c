"""Which maps are shown, and that the sheet shows them."""

import functools

import numpy as np
import pytest
from PIL import Image

from class_jax.data.montage import montage
from class_jax.errors import UserError
from class_jax.evaluation.examples import pick_examples, write_examples
from class_jax.evaluation.protocols import measure
from class_jax.evaluation.scores import SetScores
from tests.evaluation.array_source import ArraySource


def per_image(**maes):
    return {name: {"MAE": mae} for name, mae in maes.items()}


@pytest.mark.parametrize(
    ("maes", "picked"),
    [
        ({"a": 0.2}, {"a": "best"}),
        ({"a": 0.2, "b": 0.1}, {"b": "best", "a": "worst"}),
        ({"a": 0.2, "b": 0.1, "c": 0.3}, {"b": "best", "a": "median", "c": "worst"}),
        (
            {"e": 0.1, "d": 0.1, "c": 0.1, "b": 0.9, "a": 0.5},
            {"c": "best", "e": "median", "b": "worst"},
        ),
    ],
)
def test_best_median_and_worst_by_mae(maes, picked):
    # In this order too: it is that of the rows.
    assert list(pick_examples(per_image(**maes)).items()) == list(picked.items())


def contains(sheet, part):
    """Whether rows of `sheet` that span its width are `part`."""
    tops = range(len(sheet) - len(part) + 1)
    return any(np.array_equal(sheet[top : top + len(part)], part) for top in tops)


def shown(source, name):
    example = source[source.names.index(name)]
    return example["image"], example["mask"], example["image"][..., 0]


def scores_of(source):
    per_image = {
        name: measure(shown(source, name)[2], shown(source, name)[1]).figures()
        for name in source.names
    }
    return SetScores("ecssd", "CLASS", "pysod", None, per_image, {})


def test_sheet_holds_image_mask_and_map(tmp_path):
    source = ArraySource(["sub/one", "three", "four", "a" * 80])
    scores = scores_of(source)
    show = functools.partial(shown, source)
    shows = [show, lambda name: (None, *show(name)[1:])]  # of the second, no images are known
    write_examples(tmp_path / "examples.png", [scores, scores], shows)
    sheet = np.asarray(Image.open(tmp_path / "examples.png"))
    upper, lower = sheet[: len(sheet) // 2 + 24], sheet[len(sheet) // 2 :]
    ranked = sorted(scores.per_image, key=lambda name: scores.per_image[name]["MAE"])
    for name in ranked:
        visible = name != ranked[2]  # four were measured, three are shown
        assert contains(upper, montage([show(name)], cell=240)) == visible
        assert contains(lower, montage([(None, *show(name)[1:])], cell=240)) == visible


def test_sheet_that_cannot_be_written(tmp_path):
    source = ArraySource(["one"])
    (tmp_path / "examples.png").mkdir()
    with pytest.raises(UserError, match=r"examples.png cannot be written"):
        write_examples(
            tmp_path / "examples.png", [scores_of(source)], [functools.partial(shown, source)]
        )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
