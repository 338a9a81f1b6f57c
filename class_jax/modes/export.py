"""Mode export: write a trained network in a format for other programs, once it is proven equal."""

import argparse
import shutil
import sys
from pathlib import Path

from ml_collections import ConfigDict

from class_jax.config import check_released
from class_jax.errors import UserError
from class_jax.export.card import write_card
from class_jax.export.formats import FORMATS, Export, Format, compute_maps
from class_jax.export.proof import LIMITS, gather_images, measure_difference
from class_jax.files import absolute
from class_jax.jobs.targets import check_output
from class_jax.leaves import export_leaves
from class_jax.models.network import Variables, build_network
from class_jax.networks.places import find, is_exported, is_onnx, keep_trying
from class_jax.networks.trained import Trained
from class_jax.runs.workdir import Workdir


def run(flags: argparse.Namespace, config: ConfigDict, workdir: Workdir) -> int:
    """Export a network; return the exit status, 1 if the export computes something else.

    Raises:
      UserError: no network, one that this format cannot hold, or nowhere to write.
    """
    kind = flags.format or "safetensors"
    if kind not in FORMATS:
        raise UserError(f"--format={kind}: expected one of {', '.join(FORMATS)} for export.")
    form = FORMATS[kind]
    target = _target(flags.output, workdir, form)
    precision = flags.precision
    if precision != "float32" and kind != "onnx":
        raise UserError(f"--precision={precision} is for --format=onnx, not for {kind}.")
    model = flags.model
    if is_onnx(model):
        raise UserError(f"{model} is exported already: name the workdir or folder that it is of.")
    if kind == "torch":
        check_released(config, hint="Choose another --format than torch")
    trained = _load(model, config, flags.checkpoint)._replace(precision=precision)
    images = gather_images(trained.side)
    ours = compute_maps(trained.network, trained.variables)
    is_new = not target.parent.exists()
    partial = target.with_name(f".{target.name}.partial{target.suffix}")
    print(f"{kind}: writing, then comparing the maps of {len(images)} images", file=sys.stderr)
    try:
        _remove(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        form.write(trained, partial)
        limit = LIMITS[precision]
        difference = measure_difference(ours, form.read(trained, partial), images)
        if difference > limit:
            print(
                f"error: nothing was kept: maps of the exported network differ by up to "
                f"{difference:.1e}, and {limit:.0e} at most is allowed.",
                file=sys.stderr,
            )
            return 1
        if precision != "float32":
            from class_jax.export.precision import note_difference  # noqa: PLC0415

            print(note_difference(partial, precision, difference, len(images)), file=sys.stderr)
        _remove(target)
        partial.rename(target)
    finally:
        _remove(partial)
        if is_new and not any(target.parent.iterdir()):
            target.parent.rmdir()
    print(
        f"{target}: equal to the network within {difference:.1e} on {len(images)} images, one by "
        "one and in threes",
        file=sys.stderr,
    )
    return 0


def _target(output: str | None, workdir: Workdir, form: Format) -> Path:
    """Return the file or folder to write; UserError if something else lies there."""
    target = absolute(output) if output else workdir.local / "export" / form.default
    suffix = Path(form.default).suffix
    if output and suffix and (target.is_dir() or output.endswith("/") or not target.suffix):
        target /= form.default
    elif suffix and target.suffix.lower() != suffix:
        raise UserError(f"--output={output}: expected a {suffix} file or a folder.")
    check_output(target.parent)
    if suffix and target.is_dir():
        raise UserError(f"{target} is a folder, and a file is to be written there.")
    earlier = {"config.json", "model.safetensors", "README.md"}
    is_free = target.is_dir() and {path.name for path in target.iterdir()} <= earlier
    if not suffix and target.exists() and not is_free:
        raise UserError(f"{target} holds other files: choose another folder for the output.")
    return target


def _load(model: str, config: ConfigDict, checkpoint: str) -> Export:
    """Load a network to be exported."""
    network = build_network(config.model, dtype="float32")

    def attempt() -> tuple[Trained, Variables]:
        found = find(model, checkpoint)
        return found, found.values(network)

    found, variables = keep_trying(attempt)
    print(f"checkpoint: {found.description}", file=sys.stderr)
    folder = Workdir(found.folder)
    unused = folder.find_unused_weights()
    public = export_leaves(config)
    checkpoint = f"Checkpoint: {found.checkpoint}." if found.checkpoint else ""
    scores = "\n\n".join([checkpoint, *filter(None, [folder.read_own("eval/results.md")])])
    # An exported network keeps its card, which credits the authors of the weights.
    card = (folder.read_own("README.md") if is_exported(found.folder) else "") or write_card(
        public,
        parameters=network.count_parameters(),
        scores=scores,
        is_converted=unused is not None,
        examples=folder.count_examples(),
    )
    return Export(network, variables, config.eval.image_size, public, card, unused)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
