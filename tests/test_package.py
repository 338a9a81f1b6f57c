"""The package as `pip install .` makes it: in a folder of its own, away from the checkout."""

import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

import class_jax
from tests.program import ROOT

pytest.importorskip("setuptools", minversion="77.0.3")  # builds wheels by itself

BUILD = """
import sys
from setuptools import build_meta
print(build_meta.build_wheel(sys.argv[1]))
"""
PHOTO = ROOT / "class_jax" / "networks" / "photo"
PARTS = (
    "class_jax", "configs", "datasets", "setup.py", "pyproject.toml", "README.md", "LICENSE",
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what an installed wheel holds."""
    folder = tmp_path_factory.mktemp("package")
    source, site = folder / "source", folder / "site"
    for name in (*PARTS, *(path.name for path in ROOT.glob("requirements*.txt"))):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (source / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=source, check=True, capture_output=True
    )
    (wheel,) = folder.glob("class_jax-*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    return site


def run_installed(installed, folder, *arguments):
    """Run the command `class-jax` in a folder, with the installed files alone."""
    code = "from class_jax.command import run_command; run_command()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip


def test_nothing_is_installed_beside_class_jax(installed):
    names = {path.name for path in installed.iterdir()}
    assert names == {"class_jax", f"class_jax-{class_jax.__version__}.dist-info"}


def test_every_file_of_the_program_is_installed(installed):
    for part, place in (
        ("class_jax", "class_jax"),
        ("configs", "class_jax/_beside/configs"),
        ("datasets", "class_jax/_beside/datasets"),
    ):
        expected = {path.relative_to(ROOT / part) for path in (ROOT / part).rglob("*.py")}
        found = {path.relative_to(installed / place) for path in (installed / place).rglob("*.py")}
        assert {path for path in found if path.parts[0] != "_beside"} == expected


def test_the_tables_of_published_sources_and_their_authors_are_installed(installed):
    for path in (ROOT / "datasets" / "photo").glob("*.t[os][mv]*"):
        copy = installed / "class_jax" / "_beside" / "datasets" / "photo" / path.name
        assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("page", ["class_jax/serving/page.html", "class_jax/export/card.md"])
def test_pages_are_installed(installed, page):
    assert (installed / page).read_bytes() == (ROOT / page).read_bytes()


@pytest.mark.skipif(not PHOTO.is_dir(), reason="there are no weights of photographs yet")
def test_the_network_that_knows_photographs_is_installed(installed, tmp_path):
    files = {path.name: path.read_bytes() for path in PHOTO.iterdir()}
    place = installed / PHOTO.relative_to(ROOT)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == files
    (wheel,) = installed.parent.glob("*.whl")
    assert wheel.stat().st_size < 12e6
    code = (
        "import sys; from class_jax import Predictor; print(Predictor.load().predict(sys.argv[1]))"
    )
    Image.effect_noise((40, 30), 80).convert("RGB").save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", code, "a.png"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_command_and_the_extras_are_declared(installed):
    (about,) = installed.glob("*.dist-info")
    assert "class-jax = class_jax.command:run_command" in (about / "entry_points.txt").read_text()
    metadata = (about / "METADATA").read_text()
    for extra in ("onnx", "video", "heif", "dev"):
        assert f"Provides-Extra: {extra}\n" in metadata
    assert "lowest" not in metadata.partition("\n\n")[0]
    assert "Requires-Dist: jax>=" in metadata


def test_it_knows_its_version(installed, tmp_path):
    done = run_installed(installed, tmp_path, "--version")
    assert done.stdout == f"class-jax {class_jax.__version__}\n", done.stderr


def test_recipes_and_named_sets_come_with_it(installed, tmp_path):
    (tmp_path / "datasets").mkdir()  # another package of that name, which must not be taken
    (tmp_path / "datasets" / "__init__.py").write_text("raise ImportError('another one')")
    done = run_installed(
        installed, tmp_path, "--mode", "prepare", "--config", "configs/quickstart.py"
    )
    assert done.returncode == 0, done.stderr
    assert "1024 examples to train on are ready" in done.stdout + done.stderr
    done = run_installed(
        installed, tmp_path, "--mode", "eval", "--config", "configs/none.py", "--workdir", "w"
    )
    assert done.returncode == 2
    assert "the recipes are configs/ablation.py" in done.stderr
