"""Pages of the program: start page, list of modes, help of a mode, completion for shells."""

from collections.abc import Sequence

from class_jax.command.parsing import make_parser, program
from class_jax.errors import UserError
from class_jax.modes.table import COMMON, MODES, ONE, RUNS, SEVERAL, Mode

COMMANDS = (
    ("predict photo.jpg --format cutout --output cutout.png", "cut out what stands out"),
    ("predict PHOTOS/ --output maps/", "maps of a folder"),
    ("serve", "a page in the browser"),
    ("train --config configs/quickstart.py", "train a small network, 2 minutes"),
    ("eval", f"score the run in {RUNS}"),
)
BASH = """# bash: class-jax completion bash > ~/.local/share/bash-completion/completions/class-jax
# zsh: autoload -U +X bashcompinit && bashcompinit, then source this file.
_class_jax() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} flags
    if [[ $COMP_CWORD -eq 1 && $word != -* ]]; then
        COMPREPLY=($(compgen -W "{modes}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    [[ $word == -* ]] && COMPREPLY=($(compgen -W "$flags" -- "$word"))
}}
complete -o default -F _class_jax class-jax"""


def start_page() -> str:
    """Return the page of a first call: the commands that people begin with."""
    return (
        f"class_jax finds what stands out in photographs, and cuts it out.\n\n{_list_commands()}\n"
        f"\n{program()} --help lists all modes; {program()} MODE --help shows one."
    )


def help_page(mode: Mode | None) -> str:
    """Return the help of a mode, or of the program: its modes and common commands."""
    if mode:
        return make_parser(mode).format_help().rstrip()
    modes = "\n".join(f"  {mode.name:<10}{mode.purpose}" for mode in MODES.values())
    return (
        f"usage: {program()} MODE [INPUT ...] [flags]\n\nmodes:\n{modes}\n"
        f"\ncommon commands:\n{_list_commands()}\n"
        f"\n{program()} MODE --help shows the flags of a mode; without a mode: train.\n"
        "class-jax completion bash (or zsh) prints what lets a shell complete modes and flags."
    )


def _list_commands() -> str:
    lines = [(f"{program()} {command}", purpose) for command, purpose in COMMANDS]
    width = max(len(command) for command, _ in lines) + 3
    return "\n".join(f"  {command:<{width}}{purpose}" for command, purpose in lines)


def complete(words: Sequence[str]) -> str:
    """Return a file that lets bash, or zsh, complete modes, flags and files.

    Raises:
      UserError: `words` name another shell.
    """
    if [*words] not in ([], ["bash"], ["zsh"]):
        raise UserError(f"completion {' '.join(words)}: expected bash or zsh.")
    cases = [
        f'        {name}) flags="--{" --".join(_list_flags(mode))}" ;;'
        for name, mode in MODES.items()
    ]
    return BASH.format(modes=" ".join([*MODES, "help", "completion"]), cases="\n".join(cases))


def _list_flags(mode: Mode) -> list[str]:
    several = () if mode.processes == ONE else SEVERAL
    return [flag.name for flag in (*mode.flags, *COMMON, *several)] + ["help"]
