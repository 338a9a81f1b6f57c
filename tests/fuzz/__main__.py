"""Fuzz a target for minutes, guided by coverage: `python -m tests.fuzz image -max_total_time=300`.

The other arguments are libFuzzer's. Needs `pip install atheris`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["class_jax", "PIL"]):
    from tests.fuzz.strangers import STRANGERS
    from tests.fuzz.targets import FOLDER, TARGETS


def main() -> None:
    """Fuzz the target that the first argument names."""
    target, seeds = {**TARGETS, **STRANGERS}[sys.argv.pop(1)]
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(seeds):
        (corpus / str(index)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], target)
    atheris.Fuzz()


main()
