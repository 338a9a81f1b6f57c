"""CLASS salient object detection: flags, and dispatch by --mode; README.md says what each does."""

# ruff: noqa: PLC0415 - each mode loads what it needs; a mistyped flag is answered at once

import argparse
import io
import sys
import traceback

from ml_collections import ConfigDict

from class_jax.errors import sentence_of
from class_jax.modes.flags import parse_flags
from class_jax.workdir import Workdir


def dispatch(arguments: list[str]) -> int:
    """Run the mode that the arguments ask for; gives the exit status."""
    flags, overrides = parse_flags(arguments, description=__doc__)
    from class_jax.modes import startup

    startup.join(flags)
    from class_jax import hosts
    from class_jax.modes import configuration

    workdir = Workdir(flags.workdir)
    config = configuration.of_all_processes(flags.config, workdir, overrides)
    if flags.mode in ("train", "eval", "predict"):
        return run(flags, workdir, config)
    return hosts.from_first(lambda: run(flags, workdir, config))


def run(flags: argparse.Namespace, workdir: Workdir, config: ConfigDict) -> int:
    """Run one mode in this process; gives the exit status."""
    if flags.mode == "train":
        from class_jax.modes import train

        return train.run(config, workdir, skip_broken=flags.skip_broken)
    if flags.mode == "prepare":
        from class_jax.modes import prepare

        return prepare.run(config, skip_broken=flags.skip_broken)
    if flags.mode == "convert":
        from class_jax.modes import convert

        return convert.run(config, workdir, source=flags.source)
    if flags.mode == "score":
        from class_jax.modes import score

        names = ("predictions", "masks", "output", "protocol", "allow_missing")
        return score.run(workdir, **{name: getattr(flags, name) for name in names})
    options = {"source": flags.input, "checkpoint": flags.checkpoint}
    if flags.mode == "predict":
        from class_jax.modes import predict

        return predict.run(config, workdir, output=flags.output, **options)
    from class_jax.modes import evaluate

    return evaluate.run(config, workdir, protocol=flags.protocol, **options)


def main() -> int:
    """Run, and turn a user's mistake into one sentence and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may hold any letter
    try:
        return dispatch(sys.argv[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        sentence = sentence_of(error)
        print(f"error: {sentence}" if sentence else traceback.format_exc(), file=sys.stderr)
        return 2 if sentence else 1


if __name__ == "__main__":
    status, hosts = main(), sys.modules.get("class_jax.hosts")  # none where a flag was mistyped
    sys.exit(hosts.leave(status) if hosts else status)
