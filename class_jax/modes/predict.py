"""Mode predict: saliency maps, cut-outs and more, of files, folders and standard input."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.data.decode import UPRIGHT
from class_jax.data.images import encode, write_picture
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.jobs.marks import Job
from class_jax.jobs.plan import Plan, Sorted, plan_image_maps, sort_jobs
from class_jax.jobs.run import Results, make_shared, open_network, open_predictor
from class_jax.jobs.targets import check_images_survive, check_target, is_image_name
from class_jax.networks.places import is_onnx
from class_jax.pictures.outputs import ATTENTION, MAP, Output
from class_jax.pictures.pipeline import make
from class_jax.pictures.settings import parse_output
from class_jax.runs.workdir import Workdir
from class_jax.text import count, list_lines, list_names, printable

STANDARD = "-"  # standard input or output
MOST_BYTES = 2**29  # of standard input
# The end of an image, and the beginning of another one.
NEXT_IMAGE = re.compile(
    rb"(\xff\xd9|IEND\xaeB`\x82|;)(\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF.{4}WEBP)", re.DOTALL
)


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Make an output of each image; return the exit status, 1 if some images were left out.

    Outputs that the same network made of the same images are kept, so that an interrupted run
    goes on.

    Raises:
      UserError: nothing to read, nowhere to write, no checkpoint, or no image could be done.
    """
    names = ("background", "threshold", "crop", "point", "smooth")
    settings = {name: getattr(flags, name) for name in names}
    output = parse_output(flags.format or MAP, settings, prefix="--")
    if flags.background and flags.output and absolute(flags.background).is_file():
        check_images_survive({absolute(flags.output): absolute(flags.background)})
    model = flags.model
    if output.kind == ATTENTION and is_onnx(model):
        raise UserError(f"{model} holds no attention: name the workdir or folder that it is of.")
    if STANDARD in (*flags.input, flags.output):
        _check_smooth(output, [])
        return _pipe(flags, output, config)
    paths = [absolute(path) for path in flags.input]
    folder = absolute(flags.output) if flags.output else workdir.predictions
    plan = parallel.run_on_first(
        lambda: plan_image_maps(paths, folder, made=output, animate=flags.format is not None)
    )
    _check_smooth(output, plan.jobs)
    is_named_file = [job.target for job in plan.jobs] == [folder]
    if is_named_file:
        check_target(folder, has_alpha=output.has_alpha)
    network = open_network(
        model, config, flags.checkpoint,
        lambda fingerprint: [sort_jobs(plan.jobs, fingerprint, overwrite=is_named_file)],
        output=output,
    )  # fmt: skip
    (sorted_jobs,) = network.sorted_jobs
    if sorted_jobs.kept:
        verb = "is" if len(sorted_jobs.kept) == 1 else "are"
        parallel.log(f"{count(len(sorted_jobs.kept), output.row.noun)} {verb} there already")
    if sorted_jobs.foreign:
        listed = list_lines([job.target for job in sorted_jobs.foreign])
        parallel.log(f"left as they are, as they were not made here:{listed}")
    results = make_shared(sorted_jobs.todo, network, title=output.row.noun)
    return _report(results, plan, sorted_jobs, output, folder)


def _check_smooth(output: Output, jobs: Sequence[Job]) -> None:
    """Raise UserError if maps are to be smoothed along time, and none is of a video."""
    if output.smooth is not None and not any(job.moves for job in jobs):
        raise UserError("--smooth is for videos and animations, and none is among the inputs.")


def _report(results: Results, plan: Plan, sorted_jobs: Sorted, output: Output, folder: Path) -> int:
    """Print what was made, what is doubtful, and what failed; return the exit status."""
    problems = [*results.failed.values(), *plan.problems]
    if len(results.failed) == len(plan.jobs):
        several = f"nothing could be made:{list_lines(problems)}"
        raise UserError(several if len(problems) > 1 else problems[0])
    where = folder if len(plan.jobs) > 1 else plan.jobs[0].target
    parallel.log(f"{count(results.written, output.row.noun)} written to {where}")
    for guess, images in results.guesses.items():
        parallel.log(f"note: {images} of {results.written}: {guess}")
    if results.empty:
        names = list_names(path.name for path in results.empty)
        found = f"{len(results.empty)} of {results.written}"
        parallel.log(f"note: nothing salient was found in {found}: {names}")
    for problem in problems:
        parallel.log(f"error: {printable(problem)}")
    left_out = plan.left_out + len(sorted_jobs.foreign)
    parallel.log(
        f"{results.written} made, {len(sorted_jobs.kept)} kept, {len(results.empty)} empty, "
        f"{left_out} left out, {len(results.failed)} failed"
    )
    return 1 if problems else 0


def _pipe(flags: argparse.Namespace, output: Output, config: ConfigDict) -> int:
    """Make the output of one image that comes from, or goes to, a standard stream."""
    if parallel.process_count() > 1:
        raise UserError("standard streams serve one process: leave out the flags for several.")
    source = _read_source(flags.input)
    target = absolute(flags.output) if flags.output not in (None, STANDARD) else None
    if target and not (is_image_name(target) and check_target(target, output.has_alpha)):
        raise UserError(f"--output={target}: name an image file, or - for standard output.")
    predictor = open_predictor(flags.model, config, flags.checkpoint)
    made = make(predictor, source, output)
    for guess in made.guesses:
        if guess != UPRIGHT:
            parallel.log(f"note: {guess}")
    if not made.is_salient:
        parallel.log("note: nothing salient was found")
    if target:
        write_picture(target, made.pixels, like=made.like)
        return 0
    sys.stdout.buffer.write(encode(made.pixels, like=made.like))
    return 0


def _read_source(inputs: Sequence[str]) -> bytes | Path:
    """Return the one image to read: the bytes of standard input, or a file."""
    if len(inputs) > 1:
        raise UserError("a standard stream takes one image: give a single --input.")
    if inputs[0] != STANDARD:
        return absolute(inputs[0])
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("standard input is closed: --input=- reads an image from it.")
    if sys.stdin.isatty():
        raise UserError("--input=- reads an image from standard input, as in: … < photo.jpg")
    try:
        content = sys.stdin.buffer.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"standard input cannot be read ({error.strerror}).") from error
    if not content:
        raise UserError("standard input was empty: expected an image, as in: … < photo.jpg")
    if len(content) > MOST_BYTES:
        raise UserError(
            f"standard input holds more than {MOST_BYTES >> 20} MB: expected one image."
        )
    if _holds_several(content):
        parallel.log("note: standard input holds several images: the first is used")
    return content


def _holds_several(content: bytes) -> bool:
    """Return whether another image follows the first one."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        end = 8 + int.from_bytes(content[4:8], "little")
        return len(content) > end + 8
    is_multi_image = b"MPF\0" in content[:65_536]  # a JPEG file that holds several by itself
    return not is_multi_image and NEXT_IMAGE.search(content) is not None
