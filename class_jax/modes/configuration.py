"""Which configuration is in force: a recipe or the one saved in the workdir, with overrides."""

import ast
import difflib
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from class_jax import hosts
from class_jax.errors import UserError
from class_jax.modes.limits import check_limits
from class_jax.workdir import Workdir

DEFAULT_RECIPE = Path(__file__).parents[2] / "configs" / "r50.py"

# What a resumed run must share with what was saved: another value would not continue that run.
FIXED_ON_RESUME = (
    *("seed", "model", "data", "train.batch_size"),
    *("train.freeze_stem", "train.ema_decay"),
)
FREE_ON_RESUME = ("data.root", "data.val_root", "data.workers")
FIXED_BEFORE_TRAINING = ("model", "train.freeze_stem", "train.ema_decay")
FREE_BEFORE_TRAINING = ("model.dtype",)

# Leaves that came later, each with the value that means what was done before: runs that were
# begun without them go on.
ADDED = {"train.accumulate": 1, "train.ema_decay": 0.0}


def of_all_processes(recipe: str | None, workdir: Workdir, overrides: Sequence[str]) -> ConfigDict:
    """As `in_force`, and UserError in all processes where one fails or they differ."""
    config = hosts.together(lambda: in_force(recipe, workdir, overrides))
    hosts.check_same(named_leaves(config), "their configuration")
    return config


def in_force(recipe: str | None, workdir: Workdir, overrides: Sequence[str]) -> ConfigDict:
    """The recipe if one is named, else the workdir's saved one, else configs/r50.py.

    Args:
      recipe: path of a Python file with `get_config()`, or `path:argument`.
      workdir: may hold a saved configuration.
      overrides: what the command line holds beside the known flags.

    Raises:
      UserError: no such file, no such leaf, a value of the wrong type, an unknown flag.
    """
    saved = None if recipe else saved_config(workdir)
    config = saved or load_recipe(recipe or str(DEFAULT_RECIPE))
    for flag, value in _pairs(overrides):
        _override(config, flag.removeprefix("--config."), value)
    _check_complete(config)
    check_limits(config)
    return config


def saved_config(workdir: Workdir) -> ConfigDict | None:
    """The workdir's configuration with today's leaves; None where it holds none."""
    config = workdir.load_config()
    if config is not None:
        present = named_leaves(config)
        missing = {name: value for name, value in ADDED.items() if name not in present}
        if "train" in config:
            config.update_from_flattened_dict(missing)
    return config


def load_recipe(recipe: str) -> ConfigDict:
    """Run a recipe's `get_config()`, or `get_config("argument")` for `path:argument`."""
    name, _, argument = recipe.partition(":")
    path = Path(name)
    if not path.is_file():
        shipped = ", ".join(sorted(f"configs/{file.name}" for file in _shipped_recipes()))
        raise UserError(f"--config={recipe}: there is no file {path}; the recipes are {shipped}.")
    try:
        definitions = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--config={recipe} cannot be run: {type(error).__name__}: {error}."
        ) from error
    if "get_config" not in definitions:
        raise UserError(f"--config={recipe}: {path} defines no function get_config().")
    get_config = definitions["get_config"]
    try:
        config = get_config(argument) if argument else get_config()
    except (Exception, SystemExit) as error:
        raise UserError(f"--config={recipe}: {error}.") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={recipe}: get_config() gives no ConfigDict.")
    if named_leaves(config).get("model.pretrained", "") is None:
        config.model.pretrained = ""
    return config


def check_resumable(config: ConfigDict, workdir: Workdir, *, trained: bool) -> None:
    """Raise UserError, with all differences, where `config` would not continue the saved run.

    Where nothing was `trained` yet, only the network must be the saved one.
    """
    saved = saved_config(workdir)
    if saved is None:
        return
    fixed = FIXED_ON_RESUME if trained else FIXED_BEFORE_TRAINING
    free = FREE_ON_RESUME if trained else FREE_BEFORE_TRAINING
    ours, theirs = named_leaves(config), named_leaves(saved)
    differences = [
        f"{name} is {theirs.get(name, 'absent')!r} there and {ours.get(name, 'absent')!r} here"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name) and _within(name, fixed) and not _within(name, free)
    ]
    if differences:
        raise UserError(
            f"{workdir.path} holds a run of another configuration: {'; '.join(differences)}. "
            "Choose another --workdir, or leave --config out to continue that run."
        )


def _check_complete(config: ConfigDict) -> None:
    """Every recipe has the leaves of configs/r50.py, of their types; some sources need more."""
    needed, leaves = named_leaves(load_recipe(str(DEFAULT_RECIPE))), named_leaves(config)
    if leaves.get("data.train") == "synthetic":
        needed |= {"data.num_train": 1, "data.num_val": 1, "data.picture_size": (1, 1)}
    for name in sorted(needed.keys() & leaves.keys()):
        if not _is_like(leaves[name], needed[name]):
            raise UserError(
                f"config.{name} = {leaves[name]!r}: expected a value of type "
                f"{type(needed[name]).__name__}, such as {needed[name]!r}."
            )
    missing = sorted(needed.keys() - leaves.keys())
    if missing:
        raise UserError(
            f"the configuration has no leaf config.{', config.'.join(missing)}: see "
            "configs/r50.py, and configs/quickstart.py for synthetic data."
        )


def _is_like(value: Any, example: Any) -> bool:
    """Whether a value has the type of an example; a whole number serves as a float."""
    if isinstance(example, tuple):
        return isinstance(value, tuple) and all(_is_like(item, example[0]) for item in value)
    return type(value) is type(example) or (type(value) is int and type(example) is float)


def _shipped_recipes() -> list[Path]:
    return [file for file in DEFAULT_RECIPE.parent.glob("*.py") if file.name != "__init__.py"]


def _within(name: str, sections: Sequence[str]) -> bool:
    return any(name == section or name.startswith(section + ".") for section in sections)


def _pairs(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """["--config.a=1", "--config.b", "2"] → [("--config.a", "1"), ("--config.b", "2")]."""
    pairs = []
    rest = list(overrides)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if not flag.startswith("--config."):
            raise UserError(f"{flag} is not a flag of main.py; see --help.")
        if not equals:
            if not rest:
                raise UserError(f"{flag} needs a value: {flag}=VALUE.")
            value = rest.pop(0)
        pairs.append((flag, value))
    return pairs


def _override(config: ConfigDict, name: str, text: str) -> None:
    """Set the leaf `name` to `text`, read as a value of the leaf's present type."""
    leaves = named_leaves(config)
    if name not in leaves:
        close = difflib.get_close_matches(name, leaves, n=1, cutoff=0.5)
        hint = f"did you mean config.{close[0]}?" if close else f"leaves: {', '.join(leaves)}."
        raise UserError(f"config.{name} is not a leaf of this configuration; {hint}")
    try:
        value = _parse(text, leaves[name])
    except (ValueError, SyntaxError) as error:
        wanted = type(leaves[name]).__name__
        raise UserError(
            f"--config.{name}={text}: expected a value of type {wanted}, such as {leaves[name]!r}."
        ) from error
    config.update_from_flattened_dict({name: value})


def _parse(text: str, present: Any) -> Any:
    """`text` as a value of the type of `present`; ValueError or SyntaxError where it is none."""
    if isinstance(present, bool):
        return bool(("false", "true").index(text.lower()))
    if isinstance(present, str):
        return "" if text == "None" else text
    if isinstance(present, tuple):
        return _parse_tuple(text, present)
    return type(present)(text)


def _parse_tuple(text: str, present: tuple[Any, ...]) -> tuple[Any, ...]:
    """`a,b`, `(1, 2)`, `('a',)`: every item of the type that the present ones have."""
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        items = [item.strip() for item in text.strip("()[]").split(",") if item.strip()]
    items = tuple(items) if isinstance(items, (list, tuple)) else (items,)
    kind = type(present[0])
    if not items or not all(isinstance(item, kind) for item in items):
        raise ValueError(text)
    return items


def named_leaves(config: ConfigDict) -> dict[str, Any]:
    """Every leaf by its dotted name."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            leaves |= {f"{name}.{inner}": leaf for inner, leaf in named_leaves(value).items()}
        else:
            leaves[name] = value
    return leaves
