"""The recipes and named sets that come with the package stand before those of other folders."""

import os
import subprocess
import sys

import pytest

from tests.program import ROOT

PAYLOAD = 'import pathlib\npathlib.Path("was_run").write_text(__file__)\n'
NAMES = (
    "configs/r50",
    "configs/quickstart",
    "configs/__init__",
    "datasets/inputs",
    "datasets/__init__",
)
RUN = "import sys; from class_jax.command.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def strange_folder(tmp_path):
    """A folder that holds packages of our names, which leave a trace when they are run."""
    for name in NAMES:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(PAYLOAD)
    return tmp_path


def run_in(folder, *arguments):
    """Run the program in a folder that Python searches first, as `python -m` has it."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ("--mode", "eval"),
        ("--mode", "predict", "--input", "photo.jpg"),
        ("--mode", "score", "--predictions", ".", "--masks", "."),
        ("--mode", "prepare", "--config.data.root=nowhere", "--config.eval.sets=held_out"),
        ("--mode", "prepare", "--config", ROOT / "configs" / "quickstart.py"),
    ],
)
def test_nothing_of_the_current_folder_is_run(strange_folder, arguments):
    done = run_in(strange_folder, *arguments)
    assert done.returncode in (0, 2), done.stderr
    assert not (strange_folder / "was_run").exists()


def test_the_recipe_that_is_named_is_the_current_folders_and_starts_from_ours(strange_folder):
    recipe = strange_folder / "configs" / "r50.py"
    recipe.write_text(
        PAYLOAD + "from configs import quickstart\n\n"
        "def get_config():\n    return quickstart.get_config()\n"
    )
    done = run_in(strange_folder, "--mode", "prepare", "--config", "configs/r50.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "synthetic: 1024 examples to train on are ready" in done.stdout
    assert (strange_folder / "was_run").read_text().endswith("r50.py")
