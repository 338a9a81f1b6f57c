"""Packages and extras, which pyproject.toml cannot state: both follow from files.

The recipes and the named data sets lie in configs/ and datasets/. They are installed inside of
class_jax: a top-level package `datasets` would overwrite the one of that name.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
INSIDE = "class_jax._beside"  # class_jax/beside.py looks for it


def read_requirements(name: str) -> list[str]:
    """Return the requirements in a file, and in those that it includes by `-r`."""
    found = []
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += read_requirements(text.removeprefix("-r ").strip())
        elif text:
            found.append(text)
    return found


def list_extras() -> dict[str, list[str]]:
    """Return an extra for each requirements-NAME.txt that adds to what the program can do."""
    files = {path.stem.removeprefix("requirements-"): path for path in ROOT.glob("requirements-*")}
    others = ("lowest", "tpu-compile")  # for tests and benchmarks
    return {
        name: read_requirements(path.name) for name, path in files.items() if name not in others
    }


beside = find_packages(str(ROOT), include=["configs", "datasets", "datasets.*"])
setup(
    packages=[
        *find_packages(str(ROOT), include=["class_jax", "class_jax.*"]),
        *(f"{INSIDE}.{name}" for name in beside),
    ],
    package_dir={f"{INSIDE}.{name}": name.replace(".", "/") for name in beside},
    include_package_data=False,  # named below; those of a checkout would be taken for packages
    package_data={
        "class_jax.export": ["card.md"],
        "class_jax.networks": ["photo/*"],
        "class_jax.serving": ["page.html", "examples/*.jpg"],
        f"{INSIDE}.datasets.photo": ["*.toml", "*.tsv"],
    },
    install_requires=read_requirements("requirements.txt"),
    extras_require=list_extras(),
)
