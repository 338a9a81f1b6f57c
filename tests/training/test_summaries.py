"""The log of a run: what TensorBoard reads, and files that cannot be written."""

import os
import struct
import subprocess
import sys

import numpy as np
from tensorboardX.proto.event_pb2 import Event

from class_jax.training.summaries import Summaries
from tests.program import ROOT

LIMITED = """
import pathlib, resource, sys
import numpy as np
from class_jax.errors import UserError
from class_jax.training.summaries import Summaries

folder, limit = pathlib.Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
try:
    with Summaries(folder / "metrics.jsonl", start_step=0) as summaries:
        for step in range(1, 61):
            summaries.write_scalars(step, {"loss": 1 / step})
            if step % 20 == 0:
                summaries.write_image(step, "map", image)
        summaries.publish()
except UserError as error:
    print(error)
"""


def write_limited(folder, limit):
    """Write a log in a process whose files end at so many bytes: what it prints, and the log."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(folder), str(limit)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr, (folder / "metrics.jsonl").read_text().splitlines()


def read_events(file):
    """The events in a file of records: length, checksum, data, checksum."""
    data = file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_tensorboard_reads_points_and_images_after_the_step_of_the_start(tmp_path):
    with Summaries(tmp_path / "metrics.jsonl", start_step=2) as summaries:
        summaries.write_scalars(3, {"loss": 0.5, "lr": 0.25})
        summaries.write_image(4, "map", np.zeros((2, 3, 3), np.uint8))
    (file,) = tmp_path.glob("events.out.tfevents.*")
    version, start, *written = read_events(file)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (3, 1)  # hides later points of older files
    points = [(event.step, event.summary.value[0]) for event in written]
    assert [(step, value.tag) for step, value in points] == [(3, "loss"), (3, "lr"), (4, "map")]
    assert [value.simple_value for _, value in points[:2]] == [0.5, 0.25]
    assert (points[2][1].image.height, points[2][1].image.width) == (2, 3)


def test_curves_that_cannot_be_written_are_given_up_and_the_log_goes_on(tmp_path):
    out, err, lines = write_limited(tmp_path, 15_000)
    assert (out, len(lines)) == ("", 60)
    assert err.strip().splitlines() == [
        "note: TensorBoard's file cannot be written (File too large): no more curves; "
        "metrics.jsonl has the same values"
    ]


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path):
    out, err, lines = write_limited(tmp_path, 1000)
    assert "metrics.jsonl cannot be written (File too large): free some space" in out
    assert "Traceback" not in err
    assert 10 < len(lines) < 60
