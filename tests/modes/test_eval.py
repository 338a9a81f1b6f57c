"""Mode eval: every image counts once on any devices and in any batches; maps are made once."""

import csv
import shutil

import jax
import numpy as np
import pytest

from class_jax.modes.eval import evaluate
from class_jax.workdir import Workdir
from tests.program import pairs
from tests.small_run import mesh_of

IMAGES = 7


@pytest.fixture(scope="module")
def own_run(trained, tmp_path_factory):
    """A copy, so that other tests find the run as it was left by training."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("copied") / "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("data") / "seven", count=IMAGES)


def run_eval(run, folder, monkeypatch, *, devices, batch_size, protocol="pysod"):
    monkeypatch.setattr("class_jax.inference.predictor.local_mesh", lambda: mesh_of(devices))
    workdir = Workdir(run)
    config = workdir.load_config()
    config.eval.batch_size = batch_size
    status = evaluate(config, workdir, source=str(folder), checkpoint="best", protocol=protocol)
    assert status == 0
    return workdir.evaluation


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
    maps = sorted((results / "seven" / "maps").glob("*.png"))
    times = [path.stat().st_mtime_ns for path in maps]
    run_eval(own_run, folder, monkeypatch, devices=1, batch_size=8, protocol="both")
    assert [path.stat().st_mtime_ns for path in maps] == times
    rows = rows_of(results / "results.csv")
    assert [row["protocol"] for row in rows] == ["pysod", "matlab"]
    assert np.isclose(float(rows[0]["MAE"]), float(rows[1]["MAE"]), atol=1e-9)
    assert "matlab" in capsys.readouterr().out
