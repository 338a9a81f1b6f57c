"""Which configuration is in force, overrides by type, and mistakes in one sentence."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from class_jax.config import check_resumable, load_config, load_recipe
from class_jax.errors import UserError
from class_jax.leaves import LEAVES, flatten
from class_jax.runs.workdir import Workdir

ROOT = Path(__file__).parents[1]
RECIPES = sorted(str(path) for path in (ROOT / "configs").glob("[!_]*.py"))
R50 = str(ROOT / "configs" / "r50.py")


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "run")


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_survive_being_saved(recipe, workdir):
    workdir.create()
    config = load_recipe(recipe)
    workdir.save_config(config)
    assert workdir.load_config().to_dict() == config.to_dict()


def test_saved_configuration_is_in_force_unless_one_is_named(workdir):
    assert load_config(None, workdir, []).data.train == "duts_tr"
    workdir.create()
    workdir.save_config(load_config(R50, workdir, ["--config.seed=5"]))
    assert load_config(None, workdir, []).seed == 5
    assert load_config(None, workdir, ["--config.train.lr=0.1"]).train.lr == 0.1
    assert load_config(R50, workdir, []).seed == 0


@pytest.mark.parametrize(
    ("override", "leaf", "value"),
    [
        ("seed=7", "seed", 7),
        ("train.lr=1", "train.lr", 1.0),
        ("train.nesterov=true", "train.nesterov", True),
        ("data.image_sizes=96", "data.image_sizes", (96,)),
        ("data.image_sizes=(96,128)", "data.image_sizes", (96, 128)),
        ("eval.sets=duts_te,ecssd", "eval.sets", ("duts_te", "ecssd")),
        ("eval.sets=('duts_te',)", "eval.sets", ("duts_te",)),
        ("data.root=5", "data.root", "5"),
        ("data.root=a=b", "data.root", "a=b"),
    ],
)
def test_overrides_take_the_leafs_type(workdir, override, leaf, value):
    config = load_config(R50, workdir, [f"--config.{override}"])
    assert flatten(config)[leaf] == value
    assert type(flatten(config)[leaf]) is type(value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config.train.batchsize=8"], "did you mean config.train.batch_size"),
        (["--config.nothing_like_it=8"], "is not a leaf"),
        (["--config.train=8"], "is not a leaf"),
        (["--config.seed=abc"], "expected a value of type int, such as 0"),
        (["--config.seed=1.5"], "expected a value of type int"),
        (["--config.train.nesterov=maybe"], "expected a value of type bool"),
        (["--config.data.image_sizes=big"], "expected a value of type tuple"),
        (["--config.model.form=other"], "paper"),
        (["--config.data.image_sizes=()"], "sides from 32"),
        (["--config.data.image_sizes=16"], "sides from 32 to 16384 pixels"),
    ],
)
def test_mistaken_overrides(workdir, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(R50, workdir, arguments)


def test_sources_that_need_more_leaves_say_which(workdir):
    with pytest.raises(UserError, match=r"no leaf config\.data\.num_train, config\.data\.num_val"):
        load_config(R50, workdir, ["--config.data.train=synthetic"])


def test_recipes_take_an_argument_after_a_colon(workdir):
    ablation = str(ROOT / "configs" / "ablation.py")
    assert load_config(f"{ablation}:1", workdir, []).train.losses == ("pixel",)
    with pytest.raises(UserError, match=r"Table 2 has the rows 1, 2, .*, not '11'"):
        load_config(f"{ablation}:11", workdir, [])
    with pytest.raises(UserError, match="takes 0 positional arguments"):
        load_config(f"{R50}:3", workdir, [])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("return None", "returns no ConfigDict"),
        ("raise KeyError('x')", "'x'"),
        ("config.model = 3; return config", "model"),
        ("config.train.losses = (); return config", "config.train.losses"),
        ("config.model.stage_sizes = ('1', '1', '1', '1'); return config", "type tuple"),
        ("del config.train.lr; return config", "no leaf config.train.lr"),
    ],
)
def test_recipes_of_ones_own_with_faults(workdir, tmp_path, line, sentence):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        f"from configs import r50\n\ndef get_config():\n    config = r50.get_config()\n    {line}\n"
    )
    with pytest.raises(UserError) as error:
        load_config(str(recipe), workdir, [])
    assert sentence in str(error.value)


def test_a_recipe_may_say_none_for_no_weights_and_whole_numbers_for_rates(workdir, tmp_path):
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from configs import r50\n\ndef get_config():\n    config = r50.get_config()\n"
        "    config.model.pretrained = None\n    config.train.lr = 1\n    return config\n"
    )
    config = load_config(str(recipe), workdir, ["--config.model.pretrained=x.pth"])
    assert config.model.pretrained == "x.pth"
    assert not load_config(str(recipe), workdir, []).model.pretrained


def test_mistaken_recipes(workdir, tmp_path):
    with pytest.raises(UserError, match=r"configs/r5\.py: no such file; the recipes are .*r50\.py"):
        load_config("configs/r5.py", workdir, [])
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name")
    with pytest.raises(UserError, match="cannot be run: ModuleNotFoundError"):
        load_config(str(broken), workdir, [])
    broken.write_text("x = 1")
    with pytest.raises(UserError, match="defines no function get_config"):
        load_config(str(broken), workdir, [])
    with pytest.raises(UserError, match="takes 0 positional arguments"):
        load_config(R50 + ":4", workdir, [])


def test_damaged_saved_configuration(workdir):
    workdir.create()
    for text in ("{", "[]", '{"seed": 1}', '{"model": 1e999}', '{"eval": null}', '{"seed": {}}'):
        workdir.config_file.write_text(text)
        with pytest.raises(
            UserError, match=r"is not a configuration in JSON|has no (leaf|section)"
        ):
            load_config(None, workdir, [])
    workdir.config_file.unlink()
    workdir.config_file.mkdir()
    with pytest.raises(UserError, match="is not a file: expected a configuration in JSON"):
        load_config(None, workdir, [])


@pytest.mark.parametrize("lost", ["train.momentum", "data.scale", "eval.batch_size", "seed"])
def test_a_network_saved_before_a_leaf_was_known_predicts_and_is_not_trained_on(workdir, lost):
    workdir.create()
    config = load_recipe("configs/vgg16.py").to_dict()
    section, _, leaf = lost.rpartition(".")
    del (config[section] if section else config)[leaf]
    workdir.config_file.write_text(json.dumps(config))
    found = flatten(load_config(None, workdir, []))
    assert found[lost] == flatten(load_recipe(R50))[lost]
    assert found["model.backbone"] == "vgg"
    with pytest.raises(UserError, match=f"has no leaf config.{lost}"):
        load_config(None, workdir, [], settings_of=lambda _: None)


@pytest.mark.parametrize("lost", ["model.features", "model.form", "eval.image_size"])
def test_a_network_without_what_describes_it_is_refused(workdir, lost):
    workdir.create()
    config = load_recipe(R50).to_dict()
    section, _, leaf = lost.rpartition(".")
    del config[section][leaf]
    workdir.config_file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"has no leaf config.{lost}"):
        load_config(None, workdir, [])


@pytest.fixture
def saved(workdir):
    """A workdir that holds the configuration of configs/r50.py."""
    workdir.create()
    workdir.save_config(load_recipe(R50))
    return workdir


def test_resuming_with_another_configuration_lists_all_differences(saved):
    overrides = ["--config.seed=1", "--config.model.width=32", "--config.train.batch_size=8"]
    with pytest.raises(UserError) as error:
        check_resumable(load_config(R50, saved, overrides), saved, begun=True)
    for name in ("seed is 0 there and 1 here", "model.width is 64", "train.batch_size is 32"):
        assert name in str(error.value)


def test_what_may_change_on_resuming(saved):
    overrides = ["data.root=/x", "train.total_steps=9", "eval.dtype=bfloat16"]
    allowed = [f"--config.{override}" for override in overrides]
    check_resumable(load_config(R50, saved, allowed), saved, begun=True)


def test_a_converted_network_may_learn_from_anything(saved):
    overrides = ["seed=1", "data.train=folder", "train.batch_size=8", "model.dtype=float32"]
    free = [f"--config.{override}" for override in overrides]
    check_resumable(load_config(R50, saved, free), saved, begun=False)
    other = load_config(R50, saved, ["--config.model.features=32"])
    with pytest.raises(UserError, match=r"model\.features is 64 there and 32 here"):
        check_resumable(other, saved, begun=False)


def test_the_table_holds_the_leaves_of_the_recipes_and_no_others():
    recipes = (load_recipe(recipe) for recipe in RECIPES)
    assert LEAVES.keys() == set().union(*(flatten(config) for config in recipes))


# What someone who adds a leaf writes, and what happens to it then.
ADDED_DEFAULT = '    config.train.helper = "nobody"\n'
ADDED_LINE = '    "train.helper": Leaf(_one_of("nobody", "me"), {fixed}, {shown}),\n'
FOLLOWED = """
import sys

from class_jax.config import check_resumable, load_config
from class_jax.errors import UserError
from class_jax.leaves import export_leaves
from class_jax.runs.workdir import Workdir


def attempt(*words):
    try:
        config = load_config(None, workdir, words, has_network=False)
        check_resumable(config, workdir, begun=True)
    except UserError as error:
        return str(error)
    return config.train.helper


workdir = Workdir("run")
workdir.create()
print(attempt("--config.train.helper=you"))
workdir.save_config(load_config(None, workdir, [], has_network=False))
print(attempt("--config.train.helper=me"))
print(repr(export_leaves(workdir.load_config()).train.helper))
"""


@pytest.mark.parametrize(
    ("fixed", "shown", "resumed", "exported"),
    [
        ("TRAINED", "show", "train.helper is 'nobody' there and 'me' here", "'nobody'"),
        ("Fixed.NEVER", "hide", "me", "''"),
    ],
)
def test_a_new_leaf_is_a_line_of_the_table_and_its_default(
    tmp_path, fixed, shown, resumed, exported
):
    for folder in ("class_jax", "configs", "datasets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    recipe, table = tmp_path / "configs" / "r50.py", tmp_path / "class_jax" / "leaves.py"
    recipe.write_text(
        recipe.read_text().replace("    return config\n", ADDED_DEFAULT + "    return config\n")
    )
    line = ADDED_LINE.format(fixed=fixed, shown=shown)
    table.write_text(table.read_text().replace("LEAVES = {\n", "LEAVES = {\n" + line))
    done = subprocess.run(
        [sys.executable, "-c", FOLLOWED], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    limit, *resuming, shown_as = done.stdout.splitlines()
    assert limit == 'config.train.helper = \'you\': expected "nobody" or "me".'
    assert resumed in "\n".join(resuming)
    assert shown_as == exported
