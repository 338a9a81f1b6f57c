"""The command line as its users meet it: in process, on a small synthetic configuration."""

import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from ml_collections import ConfigDict

from class_jax.command import cli
from class_jax.command.parsing import parse_flags
from class_jax.config import load_config, load_recipe
from class_jax.errors import BrokenFilesError, UserError
from class_jax.training.loop import count_steps
from datasets.inputs import training_sources
from tests.program import ROOT, call, pairs, use_one_device


def test_training_writes_what_scripts_rely_on(trained):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    names = {"loss", "loss_pixel", "loss_region", "loss_object", "lr", "lr_backbone"}
    assert names | {"images_per_second"} <= steps[0].keys()
    assert [row["step"] for row in rows if "val_mae" in row and "val_maxF" in row] == [2, 4]
    assert json.loads((trained / "config.json").read_text())["data"]["num_train"] == 20
    assert list(trained.glob("events.out.tfevents.*"))
    assert {path.name for path in (trained / "checkpoints").iterdir()} >= {"4"}


def test_evaluation_writes_maps_table_and_examples(trained):
    with (trained / "eval" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["set"], row["images"], row["protocol"]) == ("held_out", "10", "pysod")
    assert 0 <= float(row["maxF"]) <= 1
    maps = sorted((trained / "eval" / "held_out" / "maps").glob("*.png"))
    assert len(maps) == 10
    assert cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED).shape == (112, 112)
    for name in ("examples.png", "pr_curves.png", "f_curves.png"):
        assert cv2.imread(str(trained / "eval" / name)).ndim == 3
    for name in ("results.md", "results.tex", "per_image.csv"):
        assert "pysod" in (trained / "eval" / name).read_text()


def test_eval_needs_no_flag_but_the_workdir(run, trained):
    status, out, err = run("--mode", "eval", "--workdir", trained)
    assert status == 0, err
    assert "held_out" in out
    assert "checkpoint: step" in err


def test_a_finished_run_says_so_and_a_longer_one_goes_on(run, trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "run")  # other tests expect four steps
    status, _, err = run("--workdir", workdir, "--config.eval.after_training=false")
    assert status == 0
    assert "the run is complete: step 4 of 4" in err
    status, _, err = run(
        "--workdir", workdir, "--config.train.total_steps=6", "--config.eval.after_training=false"
    )
    assert status == 0
    assert "starting at step 4 of 6" in err
    assert "weights: checkpoint of step 4" in err


def test_eval_of_a_folder_names_what_is_broken_and_does_the_rest(run, trained, tmp_path):
    folder = pairs(tmp_path / "mine", count=3)
    (folder / "images" / "01.jpg").write_text("no picture")
    (folder / "masks" / "02.png").unlink()
    status, out, err = run("--mode", "eval", "--workdir", trained, "--input", folder)
    assert status == 1
    assert "mine" in out
    assert "01.jpg" in err
    assert "02" in err
    maps = {path.name for path in (trained / "eval" / "mine" / "maps").iterdir()}
    assert maps == {"00.png"}


def test_a_mask_without_s_is_named(run, trained, tmp_path):
    folder = pairs(tmp_path / "edge", count=2)
    mask = np.zeros((48, 64), np.uint8)
    mask[:, -1] = 255  # nothing lies right of its centre: a quadrant is empty
    cv2.imwrite(str(folder / "masks" / "01.png"), mask)
    status, _, err = run("--mode", "eval", "--workdir", trained, "--input", folder)
    assert status == 0, err
    assert "no S for 01," in err


def test_training_on_a_folder_and_resuming(run, recipe, tmp_path):
    folder = pairs(tmp_path / "mine")
    (folder / "masks" / "03.png").unlink()  # left out, in the evaluation at the end, too
    arguments = (
        "--config", ROOT / "configs" / "folder.py", "--workdir", "w", "--skip_broken",
        "--config.eval.after_training=true",
        f"--config.data.root={folder}", "--config.data.workers=0",
        "--config.model.stage_sizes=(1,1,1,1)", "--config.model.width=4",
        "--config.model.features=8", "--config.model.dtype=float32",
        "--config.data.image_sizes=64", "--config.eval.image_size=64",
        "--config.train.batch_size=8", "--config.train.total_steps=2",
    )  # fmt: skip
    status, _, err = run(*arguments)
    assert status == 0, err
    assert "to train on" in err
    assert "error" not in err
    assert "03.jpg" in err
    status, _, err = run(*arguments, "--config.seed=3")
    assert status == 2
    assert "seed is 0 there and 3 here" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mode", "fly"], "there is no mode fly; the modes are train,"),
        (["--config", "configs/none.py"], "configs/none.py: no such file"),
        (["predict", "nowhere.jpg"], "nowhere.jpg: there is no such file or folder."),
        (["score", "--predictions=a", "--masks=b"], "a: there is no such file or folder."),
        (["--config.train.batchsize=3"], "did you mean config.train.batch_size"),
        (["--config.seed=x"], "expected a value of type int"),
        (["--speed=3"], "--speed is not a flag of train; see class-jax train --help"),
        (["predict", "--inputs", "photo.jpg"], "did you mean --input?"),
        (["--mode", "predict", "--backgroud=blur"], "did you mean --background?"),
        (["--mode", "eval", "--workdir", "nowhere"], "convert the authors'"),
        (["--config", "FOLDER", "--config.data.root=nowhere"], "nowhere"),
        (["--config", "FOLDER", "--config.data.root="], "config.data.root"),
        (["--config", "FOLDER", "--config.data.root=."], "."),
        (["--config", "QUICK", "--workdir", "/dev/null/run"], "cannot be written to"),
        (["--config", "QUICK", "--config.model.dtype=float8"], "config.model.dtype"),
        (["--config", "QUICK", "--config.train.total_steps=-3"], "config.train.total_steps"),
        (["--config", "QUICK", "--config.data.train=duts"], "duts_tr"),
    ],
)
def test_mistakes_are_answered_in_a_sentence_and_status_2(run, arguments, sentence):
    names = {
        "FOLDER": ROOT / "configs" / "folder.py",
        "QUICK": ROOT / "configs" / "quickstart.py",
    }
    status, out, err = run(*(names.get(argument, argument) for argument in arguments))
    assert status == 2
    assert sentence in err
    assert out == ""
    assert "Traceback" not in err
    assert err.strip().startswith("error: ")


def test_a_batch_that_the_devices_do_not_divide(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    quickstart = ROOT / "configs" / "quickstart.py"
    status, _, err = call(
        monkeypatch, capsys, "--config", quickstart, "--config.train.batch_size=12"
    )
    assert status == 2
    assert "config.train.batch_size = 12 does not divide over 8 devices" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode", "x"],
        ["train", "--config", "configs/folder.py"],
        ["train", "--config", "configs/folder.py", "--config.data.root=nowhere"],
        ["train", "--config", "configs/quickstart.py", "--config.data.train=duts"],
        ["eval", "--workdir", "nowhere"],
        ["prepare", "--config", "configs/folder.py", "--config.data.root=nowhere"],
    ],
)
def test_mistakes_are_answered_before_jax_is_loaded(arguments, tmp_path):
    code = (
        "import sys; from class_jax.command import cli;"
        "print(cli.main(sys.argv[1:]), 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True,
        check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["2", "False"], done.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--coordinator=a:1"], "expected all of --coordinator=HOST:PORT"),
        (["--num_processes=2", "--process_id=0"], "expected all of --coordinator=HOST:PORT"),
        (["--coordinator=a", "--num_processes=2", "--process_id=0"], "=HOST:PORT"),
        (["--coordinator=a:b", "--num_processes=2", "--process_id=0"], "=HOST:PORT"),
        (["--coordinator=:99", "--num_processes=2", "--process_id=0"], "=HOST:PORT"),
        (["--coordinator=a:99999", "--num_processes=2", "--process_id=0"], "=HOST:PORT"),
        (["--coordinator=a:1", "--num_processes=0", "--process_id=0"], "from 0 to N-1"),
        (["--coordinator=a:1", "--num_processes=2", "--process_id=2"], "--process_id=2: expected"),
        (["--coordinator=a:1", "--num_processes=2", "--process_id=-1"], "_id=-1: expected"),
        (["--coordinator=a:1", "--distributed"], "or --distributed alone"),
        (["--mode=convert", "--distributed"], "predict, score and prepare, not for convert"),
        (["--protocol=matlab"], "--protocol is for eval and score, not for train, the mode where"),
        (["score", "--checkpoint=best"], "--checkpoint is for eval, predict, export and serve"),
        (["--mode=eval", "--skip_broken"], "--skip_broken is for train and prepare, not for eval."),
        (["serve", "--num_processes", "2"], "predict, score and prepare, not for serve"),
        (["predict", "--mode", "eval"], "predict and --mode eval are two modes"),
        (["predcit", "photo.jpg"], "there is no mode predcit: did you mean predict?"),
        (["README.md"], "one comes first, as in class-jax predict README.md"),
        (["docs"], "one comes first, as in class-jax predict docs"),
        (["nowhere.jpg"], "there is no mode nowhere.jpg; the modes are"),
        (["train", "README.md"], "train takes only flags, and README.md is not one"),
        (["score", "--masks", "a", "b"], "b is not one; see class-jax score --help"),
        (["predict"], "predict needs --input, images or folders"),
        (["score", "--masks", "docs"], "score needs --predictions"),
        (["predict", "README.md", "-x"], "-x is not a flag of predict"),
        (["--mode=predict", "--input="], "--input is empty"),
        (["--config.seed"], "--config.seed needs a value: --config.seed=VALUE."),
    ],
)  # fmt: skip
def test_flags_that_contradict_each_other_or_the_mode(flags, sentence):
    with pytest.raises(UserError) as error:
        parse_flags(flags)
    assert sentence in str(error.value)


def test_flags_have_their_defaults():
    flags, overrides = parse_flags(["--mode", "eval", "--config.seed=3"])
    assert (flags.workdir, flags.checkpoint, flags.protocol) == (None, "best", "pysod")
    assert flags.input is None
    assert overrides == ["--config.seed=3"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mode", "predict", "--input", "docs", "README.md", "--crop", "--config.seed", "3"],
        ["predict", "docs", "README.md", "--crop", "--config.seed", "3"],
        ["predict", "docs", "--crop", "README.md", "--config.seed", "3"],
        ["predict", "docs", "--config.seed", "3", "README.md", "--crop"],
        ["predict", "--crop", "--config.seed", "3", "--", "docs", "README.md"],
        ["predict", "README.md", "--crop", "--config.seed", "3", "--input", "docs"],
        ["--mode=predict", "docs", "README.md", "--crop", "--config.seed", "3"],
    ],
)
def test_bare_words_after_the_mode_are_inputs(arguments):
    flags, overrides = parse_flags(arguments)
    assert (flags.mode, flags.input, flags.crop) == ("predict", ["docs", "README.md"], True)
    assert overrides == ["--config.seed=3"]


def test_standard_input_and_names_that_look_like_flags_are_inputs(tmp_path, monkeypatch):
    assert parse_flags(["predict", "-", "--output", "-"])[0].input == ["-"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-x.jpg").touch()
    assert parse_flags(["predict", "--", "-x.jpg"])[0].input == ["-x.jpg"]
    assert parse_flags(["convert", "released.pth"])[0].source == ["released.pth"]


def test_a_fault_shows_its_traceback_and_a_mistake_only_if_asked(monkeypatch, capsys):
    assert cli.report(KeyError("a bug")) == 1
    assert capsys.readouterr().err == "KeyError: 'a bug'\n"
    assert cli.report(UserError("no such folder.")) == 2
    assert capsys.readouterr().err == "error: no such folder.\n"
    monkeypatch.setenv("CLASS_JAX_TRACEBACK", "1")
    assert cli.report(UserError("no such folder.")) == 2
    assert "UserError: no such folder.\nerror: no such folder." in capsys.readouterr().err


def test_only_broken_files_that_can_be_left_out_name_the_flag_for_it(capsys):
    cli.report(BrokenFilesError("3 files are broken.", skippable=True))
    assert "--skip_broken" in capsys.readouterr().err
    cli.report(BrokenFilesError("no pair.", skippable=False))
    assert "--skip_broken" not in capsys.readouterr().err


# Leaves that a run on synthetic data of a given number of steps does not need.
OF_OTHER_DATA = {
    *("data.root", "data.val_root", "data.images", "data.masks"),
    *("data.salient", "data.fit_masks", "train.epochs", "train.min_steps"),
}
OF_A_MIX = {"data.mix", "data.backgrounds"}


def test_every_leaf_is_read_by_the_run_that_it_is_for(recipe, tmp_path, monkeypatch):
    use_one_device(monkeypatch)
    read, configs = set(), []

    def load(*arguments, **options):
        configs.append(load_config(*arguments, **options))
        return configs[-1]

    def record(section, name):
        caller = sys._getframe(2).f_globals["__name__"]
        if not caller.startswith("ml_collections"):
            read.add((frozenset(section.keys()), name))  # of copies, too

    for method in ("__getattr__", "__getitem__"):
        original = getattr(ConfigDict, method)

        def access(section, name, original=original):
            record(section, name)
            return original(section, name)

        monkeypatch.setattr(ConfigDict, method, access)
    monkeypatch.setattr("class_jax.config.load_config", load)
    assert cli.main(["--config", str(recipe), "--workdir", str(tmp_path / "w")]) == 0
    (config,) = configs
    sections = {"": config, **{name: config[name] for name in ("model", "data", "train", "eval")}}
    unread = {
        f"{prefix}.{name}".strip(".")
        for prefix, section in sections.items()
        for name in section
        if (frozenset(section.keys()), name) not in read
    }
    assert unread == OF_OTHER_DATA | OF_A_MIX
    read.clear()
    folder = load_recipe("configs/folder.py")
    folder.data.root = str(pairs(tmp_path / "mine", count=4))
    folder.data.val_root = str(pairs(tmp_path / "others"))
    count_steps(folder.train, len(training_sources(folder, skip_broken=False).train.names))
    assert {name.partition(".")[2] for name in OF_OTHER_DATA} <= {name for _, name in read}
    folder.data.train, folder.data.root = "mix", str(tmp_path)
    folder.data.mix, folder.data.backgrounds = ("mine*2",), "others"
    folder.data.val_root = ""
    assert training_sources(folder, skip_broken=False).mix == ((4, 2.0),)
    assert {name.partition(".")[2] for name in OF_A_MIX} <= {name for _, name in read}
