"""Which maps are shown, and that the sheet shows them."""

import numpy as np
import pytest
from PIL import Image

from class_jax.data.montage import montage
from class_jax.errors import UserError
from class_jax.evaluation.evaluate import evaluate_set
from class_jax.evaluation.examples import pick_examples, write_examples
from tests.evaluation.array_source import ArraySource, red_channel


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


def test_sheet_shows_image_mask_and_written_map(tmp_path):
    source = ArraySource(["sub/one", "two", "three", "four", "a" * 80], broken=["two"])
    scores = evaluate_set("toys", source, red_channel, tmp_path / "maps", batch_size=4)
    write_examples(tmp_path / "examples.png", source, scores, tmp_path / "maps")
    sheet = np.asarray(Image.open(tmp_path / "examples.png"))
    ranked = sorted(scores.per_image, key=lambda name: scores.per_image[name]["MAE"])
    for name in ranked:
        example = source[source.names.index(name)]
        row = (example["image"], example["mask"], example["image"][..., 0])
        shown = contains(sheet, montage([row], cell=240))
        assert shown == (name != ranked[2])  # four were measured, three are shown


def test_sheet_that_cannot_be_written(tmp_path):
    source = ArraySource(["one"])
    scores = evaluate_set("toys", source, red_channel, tmp_path / "maps", batch_size=4)
    (tmp_path / "examples.png").mkdir()
    with pytest.raises(UserError, match=r"examples.png cannot be written"):
        write_examples(tmp_path / "examples.png", source, scores, tmp_path / "maps")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
