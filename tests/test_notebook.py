"""The Colab notebook: run as Jupyter runs it, and read for what a run on a CPU does not show."""

import ast
import base64
import csv
import json
import os
import signal
import subprocess
import sys
from importlib import metadata

import cv2
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

from tests.program import ROOT

NOTEBOOK = ROOT / "notebooks" / "class_jax_colab.ipynb"
STEPS = 5
IMAGES = 10  # held out
SETTINGS = {
    "SOURCE": str(ROOT),
    "WORKDIR": "a run",  # relative to the folder that the notebook runs in
    "STEPS": STEPS,
    "BATCH_SIZE": 8,
    "IMAGE_SIZE": 64,
    "TUNING_STEPS": 2,
    "EXTRA": [
        # What compiles fastest.
        "--config.model.backbone=vgg",
        "--config.model.stage_sizes=(1,1,1,1,1)",
        "--config.model.position_attention=false",
        "--config.model.channel_attention=false",
        "--config.model.fusion_module=false",
        "--config.model.width=4",
        "--config.model.features=8",
        "--config.train.losses=pixel",
        "--config.data.num_train=20",
        f"--config.data.num_val={IMAGES}",
        "--config.eval.batch_size=8",
    ],
}


def read():
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters(cells):
    (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
    return cell


def with_settings(settings):
    """The notebook, with a cell after that of the parameters which sets some of them."""
    notebook, cells = read()
    cell = parameters(cells)
    defaults = {node.targets[0].id for node in ast.parse(cell.source).body}
    assert settings.keys() <= defaults, "a setting that the notebook does not have"
    assigned = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    notebook.cells.insert(notebook.cells.index(cell) + 1, nbformat.v4.new_code_cell(assigned))
    return notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook's code cells by their names after a run, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("colab")
    notebook = with_settings(SETTINGS)
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # one device, compiled in less time
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}, folder


def text_of(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures_of(cell):
    shown = [output.data for output in cell.outputs if "data" in output]
    pngs = [base64.b64decode(data["image/png"]) for data in shown if "image/png" in data]
    return [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in pngs]


def test_every_cell_runs_without_a_word_of_error(executed):
    cells, _ = executed
    for cell in cells.values():
        assert cell.execution_count, f"{cell.id} was not run"
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", output
    assert "to install: nothing" in text_of(cells["install"])
    assert "DEVICES 1 cpu" in text_of(cells["devices"])


def test_the_resumed_run_logs_every_step_once(executed):
    cells, folder = executed
    run = folder / "a run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss"] for row in rows if "loss" in row}
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, STEPS + 1))
    # The quickstart's rate is a triangle over `total_steps`: it tells which command made a step.
    totals = [STEPS // 2] * (STEPS // 2) + [STEPS] * (STEPS - STEPS // 2)
    shares = [done / total for done, total in enumerate(totals)]
    rates = [row["lr"] for row in rows if "lr" in row]
    np.testing.assert_allclose(rates, np.interp(shares, [0, 0.3, 1], [0, 0.05, 0]), rtol=1e-5)
    assert json.loads((run / "config.json").read_text())["train"]["total_steps"] == STEPS
    assert f"starting at step 0 of {STEPS // 2}" in text_of(cells["train"])
    text = text_of(cells["resume"])
    assert f"weights: checkpoint of step {STEPS // 2}" in text
    assert f"starting at step {STEPS // 2} of {STEPS}" in text
    for step, loss in losses.items():
        assert f"{step:6d}  {loss:6.4f}" in text
    assert len(pictures_of(cells["resume"])) == 1


def test_the_evaluation_is_written_and_shown(executed):
    cells, folder = executed
    results = folder / "a run" / "eval"
    with (results / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    labels = {"set": "held_out", "method": "CLASS", "images": str(IMAGES), "protocol": "pysod"}
    assert labels.items() <= row.items()
    with (results / "per_image.csv").open() as file:
        errors = [float(line["MAE"]) for line in csv.DictReader(file)]
    assert len(errors) == IMAGES
    assert float(row["MAE"]) == pytest.approx(np.mean(errors), abs=1e-12)
    shown = [output.data for output in cells["evaluate"].outputs if "data" in output]
    tables = [data["text/markdown"] for data in shown if "text/markdown" in data]
    assert tables == [(results / "results.md").read_text()]
    (sheet,) = pictures_of(cells["evaluate"])
    np.testing.assert_array_equal(sheet, cv2.imread(str(results / "examples.png")))


def test_the_network_is_exported_and_fine_tuned(executed):
    cells, folder = executed
    assert "equal to the network within" in text_of(cells["export"])
    names = {path.name for path in (folder / "a run" / "exported").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    rows = (folder / "a run-tuned" / "metrics.jsonl").read_text().splitlines()
    assert max(json.loads(row)["step"] for row in rows) == 2
    assert (folder / "a run-tuned" / "eval" / "results.csv").exists()


def test_the_map_shown_is_that_of_the_evaluation(executed):
    cells, folder = executed
    (sheet,) = pictures_of(cells["maps"])
    maps = sorted((folder / "a run" / "eval" / "held_out" / "maps").glob("*.png"))
    expected, other = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in maps[:2])
    assert likeness(sheet, expected) > 0.98 > likeness(sheet, other)


def likeness(sheet, saliency):
    """The correlation of a map with the part of the sheet that is most like it."""
    grey = cv2.cvtColor(sheet, cv2.COLOR_BGR2GRAY)
    sides = range(len(grey) * 3 // 4, len(grey), 2)
    templates = (cv2.resize(saliency, (side, side)) for side in sides)
    return max(cv2.matchTemplate(grey, each, cv2.TM_CCOEFF_NORMED).max() for each in templates)


def test_nothing_is_stored_that_a_run_made():
    notebook, cells = read()
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "accelerator" not in notebook.metadata
    assert "gpuType" not in notebook.metadata.colab
    for cell in cells:
        assert cell.outputs == []
        assert cell.execution_count is None


def test_no_cell_hides_an_error():
    for cell in read()[1]:
        for node in ast.walk(ast.parse(cell.source)):  # no `!command` and no `%magic` parses
            if isinstance(node, ast.ExceptHandler):
                assert any(isinstance(inner, ast.Raise) for inner in ast.walk(node)), cell.id
            assert "suppress" not in (getattr(node, "id", ""), getattr(node, "attr", "")), cell.id


@pytest.fixture(scope="module")
def functions():
    """The notebook's functions and the imports of their cells, without what the cells do."""
    cells = [cell for cell in read()[1] if "\ndef " in cell.source]
    nodes = [node for cell in cells for node in ast.parse(cell.source).body]
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    return ast.unparse([node for node in nodes if isinstance(node, kinds)])


@pytest.fixture
def defined(functions):
    names = {"ENVIRONMENT": dict(os.environ)}
    exec(functions, names)
    return names


def test_a_command_that_fails_stops_its_cell(defined, capsys):
    printing = "import sys; print('ä', flush=True); print('why', file=sys.stderr); sys.exit(3)"
    with pytest.raises(subprocess.CalledProcessError) as failure:
        defined["run"](sys.executable, "-c", printing)
    assert failure.value.returncode == 3
    assert capsys.readouterr().out == "ä\nwhy\n"


def test_a_stopped_cell_lets_its_command_save(functions, tmp_path):
    # In processes of their own: an interrupt of this one would end the tests.
    (tmp_path / "command.py").write_text(
        "import os, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.5)\n"
        "    print('saved', flush=True)\n"
        "    sys.exit(130)\n"
        "signal.signal(signal.SIGINT, save)\n"
        "print('running', flush=True)\n"
        "time.sleep(0.3)  # until that was read\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    script = f"{functions}\nENVIRONMENT = dict(os.environ)\nrun(sys.executable, 'command.py')"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["running", "saved"]
    assert done.returncode in (130, -signal.SIGINT)


def test_a_wrong_source_is_named(defined, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for source in ("", str(tmp_path / "nowhere")):
        with pytest.raises(FileNotFoundError, match="Set SOURCE in the cell of parameters"):
            defined["find_code"](source)
    with pytest.raises(subprocess.CalledProcessError):
        defined["find_code"](f"file://{tmp_path}/nowhere.git")
    monkeypatch.chdir(NOTEBOOK.parent)
    assert defined["find_code"]("") == ROOT  # the folder above the notebook's


@pytest.mark.parametrize(
    ("banner", "plugin", "expected"),
    [
        ("| Driver Version: 550.54.15      CUDA Version: 12.4     |", None, "cuda12"),
        ("| Driver Version: 580.82.07      CUDA Version: 13.0     |", None, "cuda13"),
        ("| KMD Version: 610.43.02     CUDA UMD Version: 13.3     |", None, "cuda13"),
        ("| Driver Version: 580.82.07      CUDA Version: 13.0     |", "0.7.2", "cuda12"),
        ("No devices were found", None, "cpu"),
    ],
)
def test_the_plugin_fits_the_driver(defined, monkeypatch, tmp_path, banner, plugin, expected):
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{banner}'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(defined, "version_of", {"jax-cuda12-plugin": plugin}.get)
    for name in ("JAX_PLATFORMS", "COLAB_TPU_1VM"):
        monkeypatch.delenv(name, raising=False)
    assert defined["find_accelerator"]() == expected
    monkeypatch.setenv("COLAB_TPU_1VM", "1")
    assert defined["find_accelerator"]() == "tpu"
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert defined["find_accelerator"]() == "cpu"


def test_what_is_installed_is_not_asked_for_again(defined, monkeypatch):
    unmet = defined["unmet"]
    assert unmet(Requirement("jax>=0.10")) == []
    assert unmet(Requirement('nowhere-to-be-found>=1; python_version < "3"')) == []
    assert unmet(Requirement("nowhere-to-be-found>=1")) == ["nowhere-to-be-found>=1"]
    assert unmet(Requirement("jax>=99")) == ["jax>=99"]
    # Colab's case: the plugin is older than a JAX that was upgraded alone.
    version = metadata.version("jax")
    installed = {"jax": version, "jaxlib": version, "jax-cuda12-plugin": "0.7.2"}
    monkeypatch.setitem(defined, "version_of", installed.get)
    assert [line.split()[0] for line in unmet(Requirement("jax[cuda12]"))] == ["jax-cuda12-plugin"]
    installed["jax-cuda12-plugin"] = version
    assert unmet(Requirement("jax[cuda12]")) == []
