"""The configuration: a recipe or the workdir's saved one, overrides, and what values may be."""

import ast
import difflib
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from class_jax.errors import UserError
from class_jax.limits import check_limits, check_model, flatten
from class_jax.text import list_lines
from class_jax.workdir import Workdir

ROOT = Path(__file__).parents[1]
DEFAULT_RECIPE = "configs/r50.py"

# What a resumed run must share with the saved one: another value would not continue that run.
FIXED_ON_RESUME = (
    *("seed", "model", "data", "train.batch_size"),
    *("train.freeze_stem", "train.ema_decay"),
)
FREE_ON_RESUME = ("data.root", "data.val_root", "data.workers")
FIXED_BEFORE_TRAINING = ("model", "train.freeze_stem", "train.ema_decay")
FREE_BEFORE_TRAINING = ("model.dtype",)

# Leaves that later versions added, with the value that means what earlier ones did.
ADDED_LEAVES = {
    "train.accumulate": 1,
    "train.ema_decay": 0.0,
    "data.images": "",
    "data.masks": "",
    "data.salient": (),
    "data.fit_masks": False,
    "eval.keep_aspect": False,
}
# Leaves that only synthetic data has, with an example of each.
SYNTHETIC_LEAVES = {"data.num_train": 1, "data.num_val": 1, "data.picture_size": (1, 1)}


def load_config(
    recipe: str | None, workdir: Workdir, overrides: Sequence[str], *, has_network: bool = True
) -> ConfigDict:
    """Return the configuration in force: `recipe`, else the saved one, else configs/r50.py.

    Args:
      recipe: path of a Python file with `get_config()`, or `path:argument`.
      workdir: may hold a saved configuration; an exported folder does, too.
      overrides: `--config.a.b=value` arguments, applied to whichever is in force.
      has_network: a network is to be built as its section `model` describes.

    Raises:
      UserError: no such file, no such leaf, or a value of the wrong type or out of its limits.
    """
    saved = None if recipe else load_saved(workdir)
    config = saved or load_recipe(recipe or DEFAULT_RECIPE)
    for flag, value in _split_overrides(overrides):
        _override(config, flag.removeprefix("--config."), value, recipe or DEFAULT_RECIPE)
    _check_leaves(config)
    check_limits(config)
    if has_network:
        check_model(config.model)
    return config


def load_saved(workdir: Workdir) -> ConfigDict | None:
    """Return the workdir's configuration with the leaves of this version; None if it has none."""
    config = workdir.load_config()
    if config is not None and "train" in config:
        present = flatten(config)
        missing = {
            name: value
            for name, value in ADDED_LEAVES.items()
            if name not in present and isinstance(config.get(name.partition(".")[0]), ConfigDict)
        }
        config.update_from_flattened_dict(missing)
    return config


def load_recipe(recipe: str) -> ConfigDict:
    """Run `get_config()` of a recipe, or `get_config("argument")` for `path:argument`.

    A relative path that does not exist here is looked for beside the package, where the recipes
    that come with it lie.
    """
    name, _, argument = recipe.partition(":")
    path = Path(name) if Path(name).is_file() else ROOT / name
    if not path.is_file():
        shipped = sorted(f"configs/{file.name}" for file in (ROOT / "configs").glob("[!_]*.py"))
        raise UserError(f"--config={recipe}: no such file; the recipes are {', '.join(shipped)}.")
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        if get_config is None:
            raise UserError(f"--config={recipe}: {path} defines no function get_config().")
        config = get_config(argument) if argument else get_config()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--config={recipe} cannot be run: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={recipe}: get_config() returns no ConfigDict.")
    if flatten(config).get("model.pretrained", "") is None:
        config.model.pretrained = ""
    return config


def check_resumable(config: ConfigDict, workdir: Workdir, *, begun: bool) -> None:
    """Raise UserError, listing all differences, if `config` would not continue the saved run.

    Before the run has `begun` (a converted checkpoint), only the network must be the same.
    """
    saved = load_saved(workdir)
    if saved is None:
        return
    fixed = FIXED_ON_RESUME if begun else FIXED_BEFORE_TRAINING
    free = FREE_ON_RESUME if begun else FREE_BEFORE_TRAINING
    ours, theirs = flatten(config), flatten(saved)
    differences = [
        f"{name} is {theirs.get(name, 'absent')!r} there and {ours.get(name, 'absent')!r} here"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
        and _is_within(name, fixed)
        and not _is_within(name, free)
    ]
    if differences:
        raise UserError(
            f"{workdir.path} holds a run of another configuration:{list_lines(differences)}\n"
            "Choose another --workdir, or leave --config out to continue that run."
        )


def _check_leaves(config: ConfigDict) -> None:
    """Raise UserError unless the leaves are those of configs/r50.py, of the same types."""
    expected, leaves = flatten(load_recipe(DEFAULT_RECIPE)), flatten(config)
    if leaves.get("data.train") == "synthetic":
        expected |= SYNTHETIC_LEAVES
    if missing := sorted(expected.keys() - leaves.keys()):
        raise UserError(
            f"the configuration has no leaf config.{', config.'.join(missing)}: see "
            f"{DEFAULT_RECIPE}, and configs/quickstart.py for synthetic data."
        )
    for name in sorted(expected):
        if not _is_like(leaves[name], expected[name]):
            raise _wrong_type(name, repr(leaves[name]), expected[name])


def _is_like(value: Any, example: Any) -> bool:
    """Return whether a value has the type of an example; a whole number serves as a float."""
    if isinstance(example, tuple):
        kinds = example[:1]  # an empty example allows items of any type
        return isinstance(value, tuple) and all(_is_like(item, *kinds) for item in value if kinds)
    return type(value) is type(example) or (type(value) is int and type(example) is float)


def _is_within(name: str, sections: Sequence[str]) -> bool:
    return any(name == section or name.startswith(section + ".") for section in sections)


def _split_overrides(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return flags with their values: "--config.a=1" or "--config.a", "1" → ("--config.a", "1")."""
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


def _override(config: ConfigDict, name: str, text: str, recipe: str) -> None:
    """Set the leaf `name`; ConfigDict's own type check refuses a value of another type."""
    leaves = flatten(config)
    if name not in leaves:
        close = difflib.get_close_matches(name, leaves, n=1, cutoff=0.5)
        hint = f"did you mean config.{close[0]}?" if close else f"{recipe} shows all leaves."
        raise UserError(f"config.{name} is not a leaf of this configuration; {hint}")
    try:
        config.update_from_flattened_dict({name: _parse(text, leaves[name])})
    except TypeError as error:
        raise _wrong_type(name, text, leaves[name]) from error


def _parse(text: str, current: Any) -> Any:
    """Return the Python value of `text`, for a leaf that now has the value `current`."""
    if isinstance(current, str):
        return "" if text == "None" else text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    if not isinstance(current, tuple):
        return value
    if isinstance(value, str):  # names without quotes: a,b
        value = [item.strip() for item in value.strip("()[]").split(",") if item.strip()]
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _wrong_type(name: str, found: str, example: Any) -> UserError:
    kind = type(example).__name__
    return UserError(
        f"config.{name} = {found}: expected a value of type {kind}, such as {example!r}."
    )
