"""Parse a command line: the mode, its flags and the overrides of the configuration."""

import argparse
import difflib
import functools
import shlex
import sys
from collections.abc import Iterable, Sequence
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
    if mode.processes != ONE:
        groups["several processes; each runs the same command"] = SEVERAL
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument(
                f"--{flag.name}", help=flag.help, default=flag.default, **flag.options
            )
    parser.add_argument("--version", action="version", version=f"class-jax {class_jax.__version__}")
    return parser


def _check_processes(flags: argparse.Namespace) -> None:
    """Raise UserError if the flags for several processes contradict each other."""
    by_hand = (flags.coordinator, flags.num_processes, flags.process_id)
    if by_hand == (None, None, None):
        return
    if flags.distributed:
        raise UserError(
            "--distributed finds the processes by itself: give it alone, or --coordinator, "
            "--num_processes and --process_id without it."
        )
    if None in by_hand:
        raise UserError(
            "--coordinator=HOST:PORT, --num_processes=N and --process_id=I belong together: give "
            "all three to every process."
        )
    host, _, port = flags.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(
            f"--coordinator={flags.coordinator}: expected HOST:PORT, as in 10.0.0.1:1234."
        )
    if flags.num_processes < 1:
        raise UserError(f"--num_processes={flags.num_processes}: expected 1 or more.")
    if not 0 <= flags.process_id < flags.num_processes:
        raise UserError(
            f"--process_id={flags.process_id}: expected 0 to {flags.num_processes - 1}."
        )


def parse_flags(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the flags' values, with `mode`, and the overrides (`--config.a.b=value`).

    Raises:
      UserError: there is no such mode; a value is missing, empty or not allowed; a flag is unknown
        or for other modes.
    """
    before, after = split_words(arguments)
    named, rest = find_mode(before)
    mode = named or TRAIN
    flags, others = make_parser(mode).parse_known_args(rest)
    flags.mode = mode.name
    words, overrides = _split_others(others, mode, is_named=named is not None)
    _add_words(flags, mode, [*words, *after])
    _check_values(flags, mode)
    if "distributed" in flags:
        _check_processes(flags)
    else:
        vars(flags).update({flag.name: flag.default for flag in SEVERAL})
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
    modes = [*MODES, "help", "completion"]
    if close := difflib.get_close_matches(word, modes, n=1):
        return f"there is no mode {word}: did you mean {close[0]}?"
    listed = f"the modes are {', '.join(MODES)}; see {program()} --help."
    if absolute(word).exists():
        return (
            f"{word} is a {'folder' if absolute(word).is_dir() else 'file'}, and a mode comes "
            f"first, as in {program()} predict {shlex.quote(word)}; {listed}"
        )
    return f"{word} is neither a mode nor a file; {listed}"


def _split_others(
    others: Sequence[str], mode: Mode, *, is_named: bool
) -> tuple[list[str], list[str]]:
    """Split what the mode's parser left into bare words and overrides."""
    words, overrides = [], []
    rest = [*others]
    while rest:
        word = rest.pop(0)
        if word.startswith("--config."):
            if "=" not in word and not rest:
                raise UserError(f"{word} needs a value: {word}=VALUE.")
            # The value may be the next argument.
            overrides.append(word if "=" in word else f"{word}={rest.pop(0)}")
        elif word.startswith("-") and word != "-":
            raise UserError(_explain_flag(word.partition("=")[0], mode, is_named=is_named))
        else:
            words.append(word)
    return words, overrides


def _explain_flag(flag: str, mode: Mode, *, is_named: bool) -> str:
    """Say what to do instead of giving a mode a flag that it does not have."""
    name = flag.lstrip("-")
    several = [flag.name for flag in SEVERAL]
    if name in several:
        return (
            f"{mode.name} runs in one process: leave out --distributed, --coordinator, "
            "--num_processes and --process_id."
        )
    owners = [other.name for other in MODES.values() if name in _names(other.flags)]
    if owners:
        default = "" if is_named else ", the mode where none is named"
        return f"--{name} is for {_join(owners)}, not for {mode.name}{default}."
    names = [*_names(mode.flags), *_names(COMMON), "mode", "help", "version", *several]
    close = difflib.get_close_matches(name.partition(".")[0], names, n=1)  # of a leaf: config
    hint = f"did you mean --{close[0]}?" if close else f"see {program()} {mode.name} --help."
    return f"{flag} is not a flag of {mode.name}; {hint}"


def _names(flags: Iterable[tuple]) -> list[str]:
    return [flag[0] for flag in flags]


def _join(names: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _add_words(flags: argparse.Namespace, mode: Mode, words: Sequence[str]) -> None:
    """Make bare words values of the mode's flag for them."""
    if not words:
        return
    if not mode.words:
        again = [f"--{flag.name}" for flag in mode.flags if flag.options.get("action") == "append"]
        how = f"give {' or '.join(again)} once for each; " if again else ""
        raise UserError(
            f"{mode.name} takes only flags, and {words[0]} is not one; {how}see {program()} "
            f"{mode.name} --help."
        )
    (flag,) = (flag for flag in mode.flags if flag.name == mode.words)
    given = getattr(flags, flag.name)
    if "nargs" in flag.options:
        setattr(flags, flag.name, [*words, *(given or ())])
    elif given is None and len(words) == 1:
        setattr(flags, flag.name, words[0])
    else:
        raise UserError(f"{mode.name} takes one --{flag.name}, and not {words[-1]} as well.")


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


def check_paths(flags: argparse.Namespace) -> None:
    """Raise UserError if none of the files that a flag names is there."""
    for flag in MODES[flags.mode].flags:
        paths = getattr(flags, flag.name) if flag.reads else None
        if paths and not any(path == "-" or _is_there(absolute(path)) for path in paths):
            raise UserError(f"{paths[0]}: there is no such file or folder.")


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()  # the mode reports a broken link
