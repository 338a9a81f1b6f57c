"""Mode eval: every image counts once on any devices and in any batches; maps are made once."""

import csv
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from class_jax.modes import eval as evaluation
from class_jax.modes.table import EVAL
from class_jax.runs.workdir import Workdir
from tests.program import pairs, use_devices

IMAGES = 7


@pytest.fixture(scope="module")
def own_run(trained, tmp_path_factory):
    """A copy, so that other tests find the run as it was left by training."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("copied") / "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("data") / "seven", count=IMAGES)


def run_eval(run, folder, monkeypatch, *, devices, batch_size, protocol="pysod"):
    use_devices(monkeypatch, devices)
    workdir = Workdir(run)
    config = workdir.load_config()
    config.eval.batch_size = batch_size
    flags = EVAL.defaults(model=str(run), input=[str(folder)], protocol=protocol)
    assert evaluation.run(flags, config, workdir) == 0
    return workdir.evaluation / folder.name


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_counts_once_on_any_number_of_devices(own_run, folder, tmp_path, monkeypatch):
    assert len(jax.devices()) == 8
    seen = []
    for devices, batch_size in ((1, 2), (3, 4), (8, 5)):
        # A folder of its own for each, so that no map is found made.
        here = tmp_path / f"{devices}"
        here.symlink_to(folder)
        results = run_eval(own_run, here, monkeypatch, devices=devices, batch_size=batch_size)
        (row,) = rows_of(results / "results.csv")
        names = [line["image"] for line in rows_of(results / "per_image.csv")]
        assert row["images"] == str(IMAGES)
        assert names == [f"{index:02d}" for index in range(IMAGES)]
        seen.append({name: float(value) for name, value in list(row.items())[4:]})
    # Maps may differ by a level where devices round differently.
    for other in seen[1:]:
        assert other == pytest.approx(seen[0], abs=2e-3)


def test_maps_are_made_once_for_both_protocols(own_run, folder, monkeypatch, capsys):
    results = run_eval(own_run, folder, monkeypatch, devices=1, batch_size=8)
    maps = sorted((results / "maps").glob("*.png"))
    times = [path.stat().st_mtime_ns for path in maps]
    run_eval(own_run, folder, monkeypatch, devices=1, batch_size=8, protocol="both")
    assert [path.stat().st_mtime_ns for path in maps] == times
    rows = rows_of(results / "results.csv")
    assert [row["protocol"] for row in rows] == ["pysod", "matlab"]
    assert np.isclose(float(rows[0]["MAE"]), float(rows[1]["MAE"]), atol=1e-9)
    assert "matlab" in capsys.readouterr().out


def test_inputs_of_one_name_are_kept_apart_and_an_output_is_honoured(
    run, trained, tmp_path, monkeypatch
):
    copied = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("eval"))
    for part, count in (("x", 2), ("y", 3)):
        pairs(tmp_path / part / "mine", count=count)
    command = ("--mode", "eval", "--workdir", copied, "--input")
    for part in "xyx":
        assert run(*command, tmp_path / part / "mine")[0] == 0
    tables = sorted((copied / "eval").glob("mine*/results.csv"))
    assert sorted(rows_of(path)[0]["images"] for path in tables) == ["2", "3"]
    assert [len(list(path.parent.glob("maps/*.png"))) for path in tables] in ([2, 3], [3, 2])
    status, _, err = run(*command, tmp_path / "x/mine", tmp_path / "y/mine", "--output", "out")
    assert status == 0, err
    rows = rows_of(tmp_path / "out" / "results.csv")
    assert [(row["set"], row["images"]) for row in rows] == [("x/mine", "2"), ("y/mine", "3")]
    assert len(list((tmp_path / "out").rglob("maps/*.png"))) == 5
    assert "x/mine: 2 pairs, " in err


def test_a_folder_that_is_given_twice_is_refused(run, trained, tmp_path):
    folder = pairs(tmp_path / "mine", count=2)
    status, _, err = run("--mode", "eval", "--workdir", trained, "--input", folder, folder)
    assert status == 2
    assert f"{folder} is given twice" in err


def test_alpha_masks_are_evaluated_as_the_masks_they_are(run, trained, tmp_path):
    copied = shutil.copytree(trained, tmp_path / "run")
    plain = pairs(tmp_path / "plain", count=3)
    alpha = shutil.copytree(plain, tmp_path / "alpha")
    for path in (alpha / "masks").iterdir():
        levels = np.asarray(Image.open(path))
        Image.fromarray(np.dstack([0 * levels] * 3 + [levels])).save(path)
    rows = []
    for folder in (plain, alpha):
        status, _, err = run("--mode", "eval", "--workdir", copied, "--input", folder)
        assert status == 0, err
        rows.append(rows_of(copied / "eval" / folder.name / "results.csv")[0])
    assert "3 of 3: taken from alpha" in err
    assert list(rows[0].values())[1:] == list(rows[1].values())[1:]


def test_a_run_is_compared_with_another_run(run, trained, tmp_path):
    folder = pairs(tmp_path / "mine", count=4)
    for name in ("first", "second"):
        copied = shutil.copytree(trained, tmp_path / name, ignore=shutil.ignore_patterns("eval"))
        assert run("--mode", "eval", "--workdir", copied, "--input", folder)[0] == 0
    for place in ("eval", "eval/mine", "eval/mine/maps"):
        found = [f"--predictions={tmp_path / name / place}" for name in ("first", "second")]
        status, _, err = run("--mode=score", f"--masks={folder}", "--output=out", *found)
        assert status == 0, err
        rows = rows_of(tmp_path / "out" / "results.csv")
        names = [f"first/{place}", f"second/{place}"]
        assert [(row["method"], row["images"]) for row in rows] == [(n, "4") for n in names]
        compared = rows_of(tmp_path / "out" / "comparison.csv")
        assert {(row["difference"], row["verdict"]) for row in compared} == {
            ("0.0", "not distinguishable")
        }
        assert "have no mask" not in err  # the figures of eval are no maps


def test_masks_are_never_replaced_by_maps(run, trained, tmp_path):
    folder = pairs(tmp_path / "x", count=2)
    (folder / "masks").rename(folder / "maps")
    before = {path: path.read_bytes() for path in (folder / "maps").iterdir()}
    command = ("--mode", "eval", "--workdir", trained, "--input", folder, "--output", tmp_path)
    names = ("--config.data.images=images", "--config.data.masks=maps")
    status, _, err = run(*command, *names)
    assert status == 2
    assert "these files are not maps that were made here" in err
    assert {path: path.read_bytes() for path in (folder / "maps").iterdir()} == before
    status, _, err = run(*command[:-1], folder / "images", *names)
    assert status == 2
    assert "whose images are read: choose another folder" in err
