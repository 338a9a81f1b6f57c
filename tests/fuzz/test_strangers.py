"""Seconds of fuzzing of the server and of networks of strangers; see test_fuzz."""

import pytest

from tests.fuzz.test_fuzz import fuzz

NAMES = ("request", "form", "served", "onnx", "exported", "film", "scores")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_stranger_gives_ends_in_an_answer_or_a_sentence(name):
    for package in ("onnx", "onnxruntime", "av"):
        pytest.importorskip(package)
    from tests.fuzz.strangers import STRANGERS  # noqa: PLC0415 - optional packages

    fuzz(*STRANGERS[name])
