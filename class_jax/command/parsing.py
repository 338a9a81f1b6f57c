"""Parse a command line: the mode, its flags and the overrides of the configuration."""

import argparse
import difflib
import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import class_jax
from class_jax.errors import UserError
from class_jax.files import absolute
from class_jax.modes.table import COMMON, MODES, ONE, SEVERAL, TRAIN, Mode


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises UserError instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{message}; see {self.prog} --help.")


def program() -> str:
    """Return what a user types to start the program."""
    return "python main.py" if Path(sys.argv[0]).name == "main.py" else "class-jax"


def make_parser(mode: Mode) -> Parser:
    """Build the parser of a mode, for all flags but the overrides, which depend on the recipe."""
    prog = f"{program()} {mode.name}"
    words = f"{mode.words.upper()} … " if mode.words else ""
    if words and mode.words not in mode.needs:
        words = f"[{words.rstrip()}] "
    parser = Parser(
        prog=prog,
        usage=f"{prog} {words}[flags]",
        description=mode.purpose,
        epilog=f"for example:\n  {prog} {mode.example}",
        formatter_class=functools.partial(
            argparse.RawDescriptionHelpFormatter, max_help_position=30
        ),
        allow_abbrev=False,
    )
    groups = {"flags": mode.flags, "flags of every mode": COMMON}
    if mode.processes == ONE:
        parser.set_defaults(**{flag.name: flag.default for flag in SEVERAL})
    else:
        groups["several processes; each runs the same command"] = SEVERAL
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument(
                f"--{flag.name}", help=flag.help, default=flag.default, **flag.options
            )
    parser.add_argument("--version", action="version", version=f"class-jax {class_jax.__version__}")
    return parser


def parse_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags' values, with `mode`, and the overrides (`--config.a.b=value`).

    Raises:
      UserError: there is no such mode; a value is missing, empty or not allowed; a flag is unknown
        or for other modes.
    """
    before, after = split_words(arguments)
    named, rest = find_mode(before)
    mode = named or TRAIN
    rest, overrides = _split_overrides(rest)
    parser = make_parser(mode)
    flags, words = parser.parse_known_args(rest)
    for word in words:
        if word.startswith("-") and word != "-":
            raise UserError(_explain_flag(word.partition("=")[0], mode, is_named=named is not None))
    words += after
    if words and not mode.words:
        raise UserError(
            f"{mode.name} takes only flags, and {words[0]} is not one; see {parser.prog} --help."
        )
    parser.parse_args([f"--{mode.words}={word}" for word in words], flags)
    flags.mode = mode.name
    _check_values(flags, mode)
    _check_processes(flags)
    return flags, overrides


def split_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and after `--`; those after it are inputs, not flags."""
    words = [*arguments]
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def find_mode(arguments: Sequence[str]) -> tuple[Mode | None, list[str]]:
    """Return the mode that the first word or `--mode` names, if any, and the other arguments."""
    finder = Parser(prog=program(), add_help=False, allow_abbrev=False)
    finder.add_argument("--mode")
    flags, rest = finder.parse_known_args(arguments)
    word = rest[0] if rest and not rest[0].startswith("-") else None
    if flags.mode is None and word is None:
        return None, rest
    named = str(word if flags.mode is None else flags.mode)
    if named not in MODES:
        raise UserError(_explain_word(named))
    if word in MODES:
        if word != named:
            raise UserError(f"{word} and --mode {named} are two modes: give one of them.")
        rest = rest[1:]
    return MODES[named], rest


def _explain_word(word: str) -> str:
    """Say what to type instead of a word that is no mode."""
    if close := difflib.get_close_matches(word, [*MODES, "help"], n=1):
        return f"there is no mode {word}: did you mean {close[0]}?"
    example = word if absolute(word).exists() else "photo.jpg"
    return (
        f"there is no mode {word}; the modes are {', '.join(MODES)}, and one comes first, as in "
        f"{program()} predict {shlex.quote(example)}; see {program()} --help."
    )


def _split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split overrides, whose value may be the next argument, from other arguments."""
    others, overrides, rest = [], [], [*arguments]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--config."):
            others.append(word)
        elif "=" in word:
            overrides.append(word)
        elif rest:
            overrides.append(f"{word}={rest.pop(0)}")
        else:
            raise UserError(f"{word} needs a value: {word}=VALUE.")
    return others, overrides


def _explain_flag(flag: str, mode: Mode, *, is_named: bool) -> str:
    """Say what to do instead of giving a mode a flag that it does not have."""
    name, known = flag.lstrip("-"), {other.name: _names(other) for other in MODES.values()}
    if owners := [other for other, names in known.items() if name in names]:
        default = "" if is_named else ", the mode where none is named"
        listed = " and ".join(filter(None, (", ".join(owners[:-1]), owners[-1])))
        return f"--{name} is for {listed}, not for {mode.name}{default}."
    names = [*known[mode.name], "mode", "help", "version"]
    close = difflib.get_close_matches(name.partition(".")[0], names, n=1)  # of a leaf: config
    hint = f"did you mean --{close[0]}?" if close else f"see {program()} {mode.name} --help."
    return f"{flag} is not a flag of {mode.name}; {hint}"


def _names(mode: Mode) -> list[str]:
    several = () if mode.processes == ONE else SEVERAL
    return [flag.name for flag in (*mode.flags, *COMMON, *several)]


def _check_values(flags: argparse.Namespace, mode: Mode) -> None:
    """Raise UserError for flags that are empty, or needed and not given."""
    for name, value in vars(flags).items():
        if value == "" or (isinstance(value, list) and "" in value):
            raise UserError(f"--{name} is empty: give it a value, or leave it out.")
    for flag in mode.flags:
        if flag.name in mode.needs and getattr(flags, flag.name) is None:
            raise UserError(
                f"{mode.name} needs --{flag.name}, {flag.help}; for example: {program()} "
                f"{mode.name} {mode.example}"
            )


def _check_processes(flags: argparse.Namespace) -> None:
    """Raise UserError if the flags for several processes contradict each other."""
    names = ("coordinator", "num_processes", "process_id")
    given = {name: getattr(flags, name) for name in names if getattr(flags, name) is not None}
    if not given:
        return
    host, _, port = given.get("coordinator", "").rpartition(":")
    is_address = host and port.isdecimal() and 0 < int(port) < 2**16
    is_whole = len(given) == len(names) and is_address and not flags.distributed
    if not is_whole or not 0 <= flags.process_id < flags.num_processes:
        found = ", ".join(f"--{name}={value}" for name, value in given.items())
        raise UserError(
            f"{found}: expected all of --coordinator=HOST:PORT, --num_processes=N and "
            "--process_id=I, a number from 0 to N-1, or --distributed alone."
        )


def check_paths(flags: argparse.Namespace) -> None:
    """Raise UserError if none of the files that a flag names is there."""
    for flag in MODES[flags.mode].flags:
        paths = getattr(flags, flag.name) if flag.reads else None
        # The mode reports a broken link.
        if paths and not any(path == "-" or os.path.lexists(absolute(path)) for path in paths):
            raise UserError(f"{paths[0]}: there is no such file or folder.")
