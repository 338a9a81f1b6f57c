"""Mode predict: saliency maps, cut-outs and more, of files, folders and standard input."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.data.folders import file_fingerprint
from class_jax.data.images import encode, write_picture
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.jobs.maps import draw
from class_jax.jobs.plan import (
    MapJob,
    Sorted,
    check_target,
    is_image_name,
    load_for_network,
    plan_image_maps,
    sort_jobs,
)
from class_jax.jobs.processes import make_shared_maps, open_network
from class_jax.networks.places import is_onnx
from class_jax.pictures.outputs import (
    ATTENTION,
    BLUR,
    KINDS,
    MAP,
    SETTINGS,
    Output,
    parse_background,
    parse_point,
    parse_threshold,
)
from class_jax.pictures.predictor import Predictor
from class_jax.runs.workdir import Workdir
from class_jax.text import count, list_lines

MANY = 20  # images, from which on an export is worth its minute
STANDARD = "-"  # standard input or output


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Make an output of each image; return the exit status, 1 if some images were left out.

    Outputs that the same network made of the same images are kept, so that an interrupted run
    goes on.

    Raises:
      UserError: nothing to read, nowhere to write, no checkpoint, or no image could be done.
    """
    output = _parse_output(flags)
    model = flags.model or workdir.path
    if output.kind == ATTENTION and is_onnx(model):
        raise UserError(f"{model} holds no attention: name the workdir or folder that it is of.")
    if STANDARD in (*flags.input, flags.output):
        return _pipe(flags, output, config, workdir)
    paths = [absolute(path) for path in flags.input]
    folder = absolute(flags.output) if flags.output else workdir.predictions
    jobs, problems = parallel.run_on_first(
        lambda: plan_image_maps(paths, folder, made=output, animate=flags.format is not None)
    )
    is_named_file = [job.target for job in jobs] == [folder]
    if is_named_file:
        check_target(folder, has_alpha=output.has_alpha)
    network = open_network(
        model, config, flags.checkpoint,
        lambda fingerprint: [sort_jobs(jobs, fingerprint, overwrite=is_named_file)],
        output=output,
    )  # fmt: skip
    (sorted_jobs,) = network.sorted_jobs
    if sorted_jobs.kept:
        verb = "is" if len(sorted_jobs.kept) == 1 else "are"
        parallel.log(f"{count(len(sorted_jobs.kept), output.noun)} {verb} there already")
    if sorted_jobs.foreign:
        listed = list_lines([job.target for job in sorted_jobs.foreign])
        parallel.log(f"left as they are, as they were not made here:{listed}")
    if len(sorted_jobs.todo) >= MANY and network.predictor:
        _advise_export(network.predictor, Path(model), workdir)
    results = make_shared_maps(sorted_jobs.todo, network, title=output.noun, output=output)
    problems = [*results.failed.values(), *problems]
    if len(results.failed) == len(jobs):
        raise UserError(f"nothing could be made:{list_lines(problems)}")
    parallel.log(f"{count(results.written, output.noun)} written to {folder}")
    for guess, images in results.guesses.items():
        parallel.log(f"note: {images} of {results.written}: {guess}")
    for problem in problems:
        parallel.log(f"error: {problem}")
    return 1 if problems else 0


def _advise_export(predictor: Predictor, model: Path, workdir: Workdir) -> None:
    """Say that an export would be faster, on a CPU and where there is none yet."""
    export = workdir.local / "export" / "model.onnx"
    if predictor.engine.is_on_cpu and not is_onnx(model) and not export.exists():
        parallel.log(
            "note: on a CPU an exported network is faster: python main.py --mode export "
            f"--format onnx --model {model} --output {export}, then predict with --model {export}"
        )


def _parse_output(flags: argparse.Namespace) -> Output:
    """Return what the flags ask for; UserError if they contradict each other."""
    kind = flags.format or MAP
    if kind not in KINDS:
        raise UserError(f"--format={kind}: expected one of {', '.join(KINDS)} for --mode predict.")
    for name in ("background", "threshold", "crop", "point"):
        if getattr(flags, name) and name not in SETTINGS[kind]:
            kinds = [other for other, names in SETTINGS.items() if name in names]
            raise UserError(f"--{name} is for --format {' or '.join(kinds)}, not for {kind}.")
    threshold = parse_threshold(flags.threshold, "--threshold")
    background = flags.background
    if background and background != BLUR and absolute(background).is_file():
        background = file_fingerprint(absolute(background))
    settings = (kind, background, threshold, flags.crop, flags.point)
    return Output(
        kind,
        parse_background(flags.background),
        threshold,
        flags.crop,
        parse_point(flags.point, "--point"),
        "" if settings == (MAP, None, None, False, None) else repr(settings),
    )


def _pipe(flags: argparse.Namespace, output: Output, config: ConfigDict, workdir: Workdir) -> int:
    """Make the output of one image that comes from, or goes to, a standard stream."""
    source = _read_source(flags.input)
    if parallel.process_count() > 1:
        raise UserError("standard streams serve one process: leave out the flags for several.")
    target = absolute(flags.output) if flags.output not in (None, STANDARD) else None
    if target and not (is_image_name(target) and check_target(target, output.has_alpha)):
        raise UserError(f"--output={target}: name an image file, or - for standard output.")
    read = functools.partial(load_for_network, source)
    job = MapJob(target or Path("standard output"), read, "", source)
    network = open_network(
        flags.model or workdir.path, config, flags.checkpoint,
        lambda _: [Sorted([job], [], [])], output=output,
    )  # fmt: skip
    predictor = network.predictor
    assert predictor is not None
    (saliency,) = predictor.maps([predictor.prepare(job.read(predictor.image_size))])
    pixels, original = draw(job, saliency, output, predictor)
    if target:
        write_picture(target, pixels, like=original)
        return 0
    sys.stdout.buffer.write(encode(pixels, like=original))
    return 0


def _read_source(inputs: Sequence[str]) -> bytes | Path:
    """Return the one image to read: the bytes of standard input, or a file."""
    if len(inputs) > 1:
        raise UserError("a standard stream takes one picture: give a single --input.")
    if inputs[0] != STANDARD:
        return absolute(inputs[0])
    if sys.stdin.isatty():
        raise UserError("--input=- reads a picture from standard input, as in: … < photo.jpg")
    return sys.stdin.buffer.read()
