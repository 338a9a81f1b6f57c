"""The configuration: a recipe or the workdir's saved one, overrides, and limits of values."""

import ast
import difflib
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from class_jax.beside import find_beside
from class_jax.errors import UserError
from class_jax.leaves import Fixed, check_limits, flatten, list_differences, unflatten
from class_jax.runs.workdir import Workdir
from class_jax.text import list_lines, quote

DEFAULT_RECIPE = "configs/r50.py"
RELEASED_RECIPE = "configs/r50_released.py"  # the network of the authors' checkpoint
SYNTHETIC_RECIPE = "configs/quickstart.py"  # has the leaves that only synthetic data has


def load_config(
    recipe: str | None,
    workdir: Workdir,
    overrides: Sequence[str],
    *,
    has_network: bool = True,
    settings_of: Callable[[str], ConfigDict | None] | None = None,
) -> ConfigDict:
    """Return the configuration in force: `recipe`, else the saved one, else configs/r50.py.

    Args:
      recipe: path of a Python file with `get_config()`, or `path:argument`.
      workdir: may hold a saved configuration; an exported folder does, too.
      overrides: `--config.a.b=value` arguments, applied to whichever is in force.
      has_network: the workdir's network will be used; a run without configuration is refused.
      settings_of: of a run that may start from a trained network: returns the configuration of
        the one that `train.start_from` names, or None for the authors' checkpoint.

    Raises:
      UserError: no such file, no such leaf, a value of the wrong type or out of its limits,
        another network than the one to start from, or a run that has lost its configuration.
    """
    load = workdir.load_config if settings_of else lambda: load_saved(workdir)
    saved = None if recipe else load()
    if has_network and not recipe and saved is None:
        workdir.check_unused()
    config = saved or (load_recipe(recipe) if recipe else load_shipped(DEFAULT_RECIPE))
    _override_all(config, overrides)
    start = None
    # A run that goes on needs no network to start from.
    if settings_of and config.train.start_from and not workdir.load_config():
        start = settings_of(config.train.start_from) or load_shipped(RELEASED_RECIPE)
    if config.model.backbone == "":
        settings = start or workdir.load_config()
        if settings is None and settings_of:
            raise UserError(
                "config.train.start_from is not set: it names the network to start from, photo, a "
                "workdir, an exported folder, hf://owner/name or the authors' checkpoint."
            )
        _fill_open(config, settings)
        _override_all(config, overrides)
    check_limits(config)
    if start:
        _check_equal(
            config,
            start,
            Fixed.NETWORK,
            f"{config.train.start_from} is another network than the configuration describes",
            "Set these leaves to its values, or use --config configs/finetune.py, which takes them "
            "over.",
        )
    return config


def load_saved(workdir: Workdir) -> ConfigDict | None:
    """Return the configuration of a network in a workdir or an exported folder, if there is one.

    Leaves that were not known when it was saved have their defaults: a network that predicts does
    not depend on them, but for those of the model and its size.

    Raises:
      UserError: it is damaged, or describes no network.
    """
    if (saved := workdir.load_config()) is None:
        return None
    expected = flatten(load_shipped(DEFAULT_RECIPE))
    depends = {name for name in expected if name.startswith("model.")} | {"eval.image_size"}
    added = {name: value for name, value in expected.items() if name not in depends}
    config = unflatten(added | flatten(saved))
    try:
        _check_leaves(config, expected)
        check_limits(config)
    except UserError as error:
        raise UserError(f"{workdir.config_file}: {error}") from error
    return config


def _fill_open(config: ConfigDict, settings: ConfigDict | None) -> None:
    """Set the network, and the sizes that a recipe leaves open, to those of `settings`."""
    found = flatten(load_shipped(DEFAULT_RECIPE)) | flatten(settings or ConfigDict())
    taken = [name for name in flatten(config) if name.startswith("model.") and name in found]
    taken += [] if config.eval.image_size else ["eval.image_size"]
    taken += [] if config.data.image_sizes else ["data.image_sizes"]
    with config.ignore_type():  # values of a file from elsewhere: checked afterwards
        config.update_from_flattened_dict({name: found[name] for name in taken})
    config.model.pretrained = ""


def _check_equal(
    ours: ConfigDict, theirs: ConfigDict, fixed: Fixed, found: str, advice: str
) -> None:
    """Raise UserError, listing all leaves that differ and are fixed at this level."""
    if differences := list_differences(ours, theirs, fixed):
        raise UserError(f"{found}:{list_lines(differences)}\n{advice}")


def check_released(config: ConfigDict, *, hint: str) -> None:
    """Raise UserError, which ends with a hint, unless this is the authors' released network."""
    found = "this needs the authors' released network, which has other values"
    _check_equal(config, load_shipped(RELEASED_RECIPE), Fixed.NETWORK, found, f"{hint}.")


def load_shipped(recipe: str) -> ConfigDict:
    """Run a recipe that comes with the package, whatever the current folder holds."""
    return _run_recipe(find_beside() / recipe, "", named=recipe)


def load_recipe(recipe: str) -> ConfigDict:
    """Run `get_config()` of a recipe, or `get_config("argument")` for `path:argument`.

    A relative path that does not exist here is looked for among the recipes that come with the
    package.
    """
    name, _, argument = recipe.partition(":")
    path = Path(name) if Path(name).is_file() else find_beside() / name
    if not path.is_file():
        configs = find_beside() / "configs"
        shipped = sorted(f"configs/{file.name}" for file in configs.glob("[!_]*.py"))
        raise UserError(f"--config={recipe}: no such file; the recipes are {', '.join(shipped)}.")
    return _run_recipe(path, argument, named=recipe)


def _run_recipe(path: Path, argument: str, *, named: str) -> ConfigDict:
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        if get_config is None:
            raise UserError(f"--config={named}: {path} defines no function get_config().")
        config = get_config(argument) if argument else get_config()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"--config={named} cannot be run: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config={named}: get_config() returns no ConfigDict.")
    if flatten(config).get("model.pretrained", "") is None:
        config.model.pretrained = ""
    return config


def check_resumable(config: ConfigDict, workdir: Workdir, *, begun: bool) -> None:
    """Raise UserError, listing all differences, if `config` would not continue the saved run.

    Before the run has `begun` (a converted checkpoint), only the network must be the same.
    """
    if saved := workdir.load_config():
        _check_equal(
            config,
            saved,
            Fixed.TRAINED if begun else Fixed.SAVED,
            f"{workdir.path} holds a run of another configuration",
            "Choose another --workdir, or leave --config out to continue that run.",
        )


def _check_leaves(config: ConfigDict, expected: Mapping[str, Any]) -> None:
    """Raise UserError unless the expected leaves are there, of the types that they have there."""
    leaves = flatten(config)
    if missing := sorted(expected.keys() - leaves.keys()):
        raise UserError(
            f"the configuration has no leaf config.{', config.'.join(missing)}: see "
            f"{DEFAULT_RECIPE}, and {SYNTHETIC_RECIPE} for synthetic data."
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


def _override_all(config: ConfigDict, overrides: Sequence[str]) -> None:
    """Apply `--config.a.b=value` arguments; UserError for an unknown leaf or a wrong value."""
    for override in overrides:
        leaves = flatten(config)
        name, _, text = override.removeprefix("--config.").partition("=")
        if name not in leaves:
            close = difflib.get_close_matches(name, leaves, n=1, cutoff=0.5)
            hint = f"did you mean config.{close[0]}?" if close else "the recipe shows all leaves."
            raise UserError(f"config.{name} is not a leaf of this configuration; {hint}")
        try:  # ConfigDict's own type check refuses a value of another type
            config.update_from_flattened_dict({name: _parse(text, leaves[name])})
        except TypeError as error:
            raise _wrong_type(name, text, leaves[name]) from error
    is_synthetic = flatten(config).get("data.train") == "synthetic"
    own = flatten(load_shipped(SYNTHETIC_RECIPE)) if is_synthetic else {}
    _check_leaves(config, flatten(load_shipped(DEFAULT_RECIPE)) | own)


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
        f"config.{name} = {quote(found)}: expected a value of type {kind}, such as {example!r}."
    )
