"""Mode score from the command line."""

import csv
import os
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.evaluation.test_protocols import G, P, plain_loop
from tests.program import ROOT

COLUMNS = "set,method,images,protocol,adpF,meanF,maxF,wF,S,adpE,meanE,maxE,MAE"
BOUNDS = ",".join(f"{name}_low,{name}_high" for name in COLUMNS.split(",")[4:])
FILES = {
    "results.csv", "results.md", "results.tex", "per_image.csv", "comparison.csv", "comparison.md",
    "breakdown.csv", "curves.csv", "breakdown.png",
    "pr_curves.png", "f_curves.png", "examples.png",
}  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """Masks of four images, and two methods' maps."""
    for index in range(4):
        mask = np.roll(G, index, axis=1)
        write(tmp_path / "toys" / "gt" / f"{index}.png", mask)
        write(tmp_path / "toys" / "im" / f"{index}.jpg", np.stack([P] * 3, -1))
        write(tmp_path / "A" / f"{index}.png", P)
        blurred = cv2.GaussianBlur(mask, (0, 0), 2)
        write(tmp_path / "B" / f"{index}_sal_fuse.png", cv2.resize(blurred, (9, 7)))
    return tmp_path


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def score(run, folders):
    return lambda *arguments: run("--mode", "score", *arguments)


TOYS = ("--masks", "toys/gt", "--output", "out")


def test_two_methods_by_both_protocols(score, folders):
    status, out, err = score(*TOYS, "--predictions", "A", "--predictions", "B", "--protocol=both")
    assert status == 0, err
    assert {path.name for path in (folders / "out").iterdir()} == FILES
    header = (folders / "out" / "results.csv").read_text().splitlines()[0]
    assert header == f"{COLUMNS},{BOUNDS}"
    rows = rows_of(folders / "out" / "results.csv")
    labels = [(row["set"], row["method"], row["protocol"]) for row in rows]
    assert labels == [("toys", m, p) for m in "AB" for p in ("pysod", "matlab")]
    assert all(row["images"] == "4" and row["method"] in out for row in rows)
    for row in rows[::2]:
        suffix = "" if row["method"] == "A" else "_sal_fuse"
        pairs = [
            (
                cv2.imread(str(folders / row["method"] / f"{i}{suffix}.png"), 0),
                cv2.imread(str(folders / "toys" / "gt" / f"{i}.png"), 0),
            )
            for i in range(4)
        ]
        figures, _ = plain_loop(pairs)
        ours = {name: float(row[name]) for name in figures}
        assert ours == pytest.approx(figures, rel=0, abs=1e-12)
    per_image = rows_of(folders / "out" / "per_image.csv")
    assert len(per_image) == 16
    for row in rows:
        mine = [
            r for r in per_image if (r["method"], r["protocol"]) == (row["method"], row["protocol"])
        ]
        assert [r["image"] for r in mine] == ["0", "1", "2", "3"]
        assert np.mean([float(r["MAE"]) for r in mine]) == pytest.approx(float(row["MAE"]))
    for name in FILES - {"results.csv", "per_image.csv"}:
        if name.startswith("results"):
            text = (folders / "out" / name).read_text()
            assert "pysod" in text
            assert "matlab" in text


def test_kinds_of_maps_score_alike(score, folders):
    levels = cv2.imread(str(folders / "A" / "0.png"), 0)
    write(folders / "deep" / "0.png", levels.astype(np.uint16) * 257)
    write(folders / "colour" / "0.png", np.stack([levels] * 3, -1))
    write(folders / "grey" / "0.png", levels)
    (folders / "palette").mkdir()
    Image.fromarray(levels).convert("P").save(folders / "palette" / "0.png")
    kinds = ("deep", "colour", "grey", "palette")
    flags = [flag for kind in kinds for flag in ("--predictions", kind)]
    status, _, err = score(*TOYS, *flags, "--allow_missing")
    assert status == 0, err
    rows = [dict(row, method="") for row in rows_of(folders / "out" / "results.csv")]
    assert rows == [rows[0]] * 4
    assert "grey has no map for 3 of the 4 masks of toys: 1, 2, 3" in err
    assert "note: toys: measured on the 1 of 4 images that all methods have" in err


def float_map(levels):
    return Image.fromarray((levels / 255).astype(np.float32)), ".tif"


def alpha_map(levels):
    white = np.full_like(levels, 255)
    return Image.fromarray(np.dstack([white, white, white, levels])), ".png"


def cut_out(levels):
    return Image.fromarray(np.dstack([255 - levels, levels // 2, levels, levels])), ".png"


@pytest.mark.parametrize("store", [float_map, alpha_map, cut_out])
def test_maps_score_as_the_levels_they_stand_for(score, folders, store):
    (folders / "kind").mkdir()
    for index in range(4):
        image, suffix = store(cv2.imread(str(folders / "A" / f"{index}.png"), 0))
        image.save(folders / "kind" / f"{index}{suffix}")
    status, _, err = score(*TOYS, "--predictions", "A", "--predictions", "kind")
    assert status == 0, err
    first, second = rows_of(folders / "out" / "results.csv")
    assert list(first.values())[2:] == list(second.values())[2:]
    assert ("4 of 4 maps of kind taken from alpha" in err) == (store is not float_map)


def test_8_bits_in_16_are_refused_unless_the_top_level_is_given(score, folders):
    for index in range(4):
        levels = cv2.imread(str(folders / "A" / f"{index}.png"), 0)
        write(folders / "deep" / f"{index}.png", levels.astype(np.uint16))
    status, _, err = score(*TOYS, "--predictions", "deep")
    assert status == 2
    assert "in 16 bits: save them as 8 bits" in err
    assert not (folders / "out").exists()
    status, _, err = score(*TOYS, "--predictions", "deep", "--map_max", "255")
    assert status == 0, err
    (deep,) = rows_of(folders / "out" / "results.csv")
    assert score(*TOYS, "--predictions", "A")[0] == 0
    (plain,) = rows_of(folders / "out" / "results.csv")
    assert list(deep.values())[2:] == list(plain.values())[2:]


@pytest.mark.parametrize("level", ["0", "-4"])
def test_a_highest_level_below_1_is_refused(score, folders, level):
    status, _, err = score(*TOYS, "--predictions", "A", "--map_max", level)
    assert (status, f"--map_max={level}: expected a level of 1 or more" in err) == (2, True), err


def test_several_sets_in_one_command(score, folders):
    shutil.copytree(folders / "toys", folders / "more")
    (folders / "more" / "gt" / "3.png").unlink()
    for set_name in ("toys", "more"):
        shutil.copytree(folders / "A", folders / "Net" / set_name)
    status, _, err = score("--masks=toys", "--masks=more", "--predictions=Net", "--output=out")
    assert status == 0, err
    rows = rows_of(folders / "out" / "results.csv")
    assert [(row["set"], row["images"]) for row in rows] == [("toys", "4"), ("more", "3")]
    assert "toys: 4 masks" in err
    assert "more: 3 masks" in err


def test_all_metrics_come_after_the_published_ones(score, folders):
    flags = (*TOYS, "--predictions", "A")
    assert score(*flags)[0] == 0
    (published,) = rows_of(folders / "out" / "results.csv")
    status, out, err = score(*flags, "--metrics", "all")
    assert status == 0, err
    (row,) = rows_of(folders / "out" / "results.csv")
    names = list(row)
    assert ",".join(names[:13]) == COLUMNS
    assert names[13:19] == ["IoU", "Dice", "BER", "precision", "recall", "specificity"]
    assert names[19:21] == ["adpF_low", "adpF_high"]
    assert {name: row[name] for name in published} == published
    assert out.split()[:19] == names[:19]


def test_a_gallery_of_images_that_are_picked_or_named(score, folders):
    flags = (*TOYS, "--predictions", "A", "--predictions", "B", "--gallery")
    assert score(*flags)[0] == 0
    sheet = {"gallery.png", "gallery.pdf", "gallery.csv"}
    assert {path.name for path in (folders / "out").iterdir()} == FILES | sheet
    assert score(*flags, "2", "0")[0] == 0
    named = rows_of(folders / "out" / "gallery.csv")
    assert [(row["row"], row["image"]) for row in named] == [("1", "2"), ("2", "0")]
    shutil.rmtree(folders / "out")
    status, _, err = score(*flags, "7")
    assert status == 2
    assert "no image is called 7: there are 0, 1, 2, 3" in err
    assert not (folders / "out").exists()


def test_intervals_verdicts_breakdown_and_curves_are_written(score, folders):
    for index in range(4, 40):
        write(folders / "toys" / "gt" / f"{index}.png", np.roll(G, index % 7, axis=1))
        write(folders / "A" / f"{index}.png", P)
        blurred = cv2.GaussianBlur(np.roll(G, index % 7, axis=1), (0, 0), 2)
        write(folders / "B" / f"{index}_sal_fuse.png", blurred)
    status, _, err = score(*TOYS, "--predictions", "A", "--predictions", "B")
    assert status == 0, err
    for row in rows_of(folders / "out" / "results.csv"):
        assert float(row["MAE_low"]) <= float(row["MAE"]) <= float(row["MAE_high"])
    compared = {row["measure"]: row for row in rows_of(folders / "out" / "comparison.csv")}
    assert (compared["MAE"]["method"], compared["MAE"]["against"]) == ("A", "B")
    assert (compared["MAE"]["verdict"], compared["MAE"]["images"]) == ("worse", "40")
    assert "not distinguishable" in (folders / "out" / "comparison.md").read_text()
    groups = rows_of(folders / "out" / "breakdown.csv")
    inside = [row for row in groups if (row["property"], row["group"]) == ("border", "inside")]
    assert [row["method"] for row in inside] == ["A", "B"]
    points = rows_of(folders / "out" / "curves.csv")
    assert [row["threshold"] for row in points] == [*map(str, range(256))] * 2
    (first, _) = rows_of(folders / "out" / "results.csv")
    highest = max(float(row["F"]) for row in points[:256])
    assert highest == pytest.approx(float(first["maxF"]), abs=1e-12)


@pytest.mark.parametrize("fill", ["empty", "full", "inverted"])
def test_masks_that_look_wrong_are_warned_of(score, folders, fill):
    for index in range(4):
        mask = {"empty": 0 * G, "full": 0 * G + 255, "inverted": 255 - G}[fill]
        write(folders / "toys" / "gt" / f"{index}.png", mask)
    status, out, err = score(*TOYS, "--predictions", "A", "--protocol", "both")
    assert status == 0, err
    words = {
        "empty": "4 of 4 masks have no salient pixel",
        "full": "4 of 4 masks are all salient",
        "inverted": "4 of 4 masks are salient along most of their border: are they inverted?",
    }
    assert f"warning: {words[fill]}" in err or words[fill] in err
    if fill == "empty":
        assert "0.0000" not in out
        assert "–" in out


def test_class_numbers_are_refused_until_the_salient_ones_are_named(score, folders):
    for index in range(4):
        mask = cv2.imread(str(folders / "toys" / "gt" / f"{index}.png"), 0)
        write(folders / "classes" / f"{index}.png", np.where(mask > 128, 15, 3).astype(np.uint8))
    flags = ("--masks=classes", "--predictions=A", "--output=out")
    status, _, err = score(*flags)
    assert status == 2
    assert "0.png has 15 as its highest value: class numbers?" in err
    status, _, err = score(*flags, "--config.data.salient=15")
    assert status == 0, err
    (classes,) = rows_of(folders / "out" / "results.csv")
    assert score(*TOYS, "--predictions", "A")[0] == 0
    (plain,) = rows_of(folders / "out" / "results.csv")
    assert list(classes.values())[2:] == list(plain.values())[2:]


def test_missing_and_surplus_maps_are_named(score, folders):
    (folders / "A" / "2.png").unlink()
    write(folders / "A" / "surplus.png", P)
    status, _, err = score(*TOYS, "--predictions", "A")
    assert status == 2
    assert "A has no map for 1 of the 4 masks of toys: 2" in err
    assert "--allow_missing" in err
    assert not (folders / "out").exists()
    status, _, err = score(*TOYS, "--predictions", "A", "--allow_missing")
    assert status == 0
    assert "surplus.png" in err
    assert rows_of(folders / "out" / "results.csv")[0]["images"] == "3"


def test_broken_files_are_named_and_the_rest_scored(score, folders):
    (folders / "A" / "1.png").write_text("no picture")
    write(folders / "A" / "2.png", np.stack([P, 255 - P, P], -1))
    (folders / "toys" / "gt" / "3.png").write_bytes(b"")
    status, _, err = score(*TOYS, "--predictions", "A")
    assert status == 1
    for name in ("A/1.png", "A/2.png is in colour", "gt/3.png"):
        assert name in err
    assert rows_of(folders / "out" / "results.csv")[0]["images"] == "1"
    (folders / "A" / "0.png").write_text("no picture")
    status, _, err = score(*TOYS, "--predictions", "A", "--predictions", "B")
    assert status == 1
    assert "toys, A: none of the 4 images could be done" in err
    (row,) = rows_of(folders / "out" / "results.csv")
    assert (row["method"], row["images"]) == ("B", "3")
    status, _, err = score("--masks", "toys/gt", "--predictions", "A", "--output", "nothing")
    assert status == 2
    assert "toys, A: none of the 4 images could be done" in err
    assert not (folders / "nothing").exists()


def test_any_name_of_a_folder(score, folders):
    names = ["a$\\frac$b", "_hidden", "[x]", "c\nd", "m\udcff", "e,f", "CLASS (published)"]
    for name in names:
        (folders / name).symlink_to(folders / "A")
    (folders / "toys").rename(folders / "ecssd")
    for name in names:
        status, _, err = score("--masks=ecssd", f"--predictions={name}", f"--output=out/{name}")
        assert (status, "Traceback" in err) == (0, False), err
        (row,) = rows_of(folders / "out" / name / "results.csv")
        assert row["images"] == "4"
        assert {path.name for path in (folders / "out" / name).iterdir()} == FILES
    table = (folders / "out" / "CLASS (published)" / "results.md").read_text()
    assert "| CLASS (published) (measured) |" in table
    assert "| CLASS (published) |" in table
    assert "\n{}[x] &" in (folders / "out" / "[x]" / "results.tex").read_text()


def test_results_go_to_the_workdir_by_default(score, folders):
    status, _, err = score("--masks", "toys", "--predictions", "A", "--workdir", "w")
    assert status == 0, err
    assert {path.name for path in (folders / "w" / "score").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs --predictions"),
        (("--masks", "toys/gt"), "needs --predictions"),
        (("--predictions", "A"), "needs --masks"),
        (
            (*TOYS, "--predictions", "absent"),
            "absent: there is no such file or folder",
        ),
        (
            ("--predictions", "A", "--masks", "absent"),
            "absent: there is no such file or folder",
        ),
        ((*TOYS, "--predictions", "A", "--predictions", "./A"), "given twice"),
        ((*TOYS, "--predictions", ""), "--predictions is empty"),
        ((*TOYS, "--predictions", "~nobody_here/A"), "there is no such user"),
        ((*TOYS, "--predictions", "A", "--protocol", "octave"), "--protocol: invalid choice"),
        (("--masks", "toys/gt", "--predictions", "A", "--output", "A/x"), "lies in"),
        (
            ("--masks", "toys/gt", "--predictions", "A", "--output", "A/1.png/x"),
            "is a file, and a folder is needed",
        ),
        ((*TOYS, "--predictions", "A", "--config.seeed=1"), "config.seeed is not a leaf"),
    ],
)
def test_mistakes(score, folders, arguments, message):
    status, out, err = score(*arguments)
    assert status == 2
    assert message in err
    assert (out, err.count("\n")) == ("", 1)
    assert not (folders / "out").exists()


def test_ctrl_c_leaves_no_tables_and_the_same_command_then_succeeds(folders):
    for index in range(4, 70):  # enough for several processes
        write(folders / "toys" / "gt" / f"{index}.png", G)
        write(folders / "A" / f"{index}.png", P)
    command = [sys.executable, ROOT / "main.py", "--mode=score", *TOYS, "--predictions=A"]
    started = subprocess.Popen(
        command,
        cwd=folders,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    seen = ""
    while "toys, A" not in seen:  # measuring begins, and its processes start
        seen += started.stderr.read(1)
        assert started.poll() is None, seen
    os.killpg(started.pid, signal.SIGINT)  # to all of them, as a terminal does
    # Returns once all of them have ended: they share the pipe.
    out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (130, "")
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (folders / "out").exists()
    done = subprocess.run(command, cwd=folders, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (folders / "out").iterdir()} == FILES


def test_what_lies_beside_the_masks_never_refuses_their_scores(score, folders):
    shutil.rmtree(folders / "toys" / "im")
    (folders / "toys" / "images").mkdir()
    (folders / "toys" / "gt").rename(folders / "toys" / "masks")
    command = ("--masks", "toys/masks", "--output", "out", "--predictions", "A")
    assert score(*command)[0] == 0  # an empty folder of images
    for suffix in (".jpg", ".png"):
        write(folders / "toys" / "images" / f"0{suffix}", np.stack([P] * 3, -1))
    assert score(*command)[0] == 0  # two images of one name


def test_maps_of_another_aspect_are_scored_and_said(score, folders):
    for index in range(4):
        levels = cv2.imread(str(folders / "A" / f"{index}.png"), 0)
        write(folders / "turned" / f"{index}.png", levels.T)
        write(folders / "square" / f"{index}.png", cv2.resize(levels, (9, 9)))
    status, _, err = score(*TOYS, "--predictions", "turned", "--predictions", "square")
    assert status == 0
    for method in ("turned", "square"):
        assert f"toys: 4 of 4 maps of {method} have another aspect than their masks" in err


def test_one_map_of_8_bits_hides_no_fault_of_the_others(score, folders):
    for index in range(4):
        levels = cv2.imread(str(folders / "A" / f"{index}.png"), 0)
        write(folders / "mixed" / f"{index}.png", levels.astype(np.uint16 if index else np.uint8))
    status, _, err = score(*TOYS, "--predictions", "mixed")
    assert status == 2
    assert "the maps of mixed hold values up to 2" in err


def test_maps_that_reach_a_part_of_16_bits_are_warned_of(score, folders):
    for index in range(4):
        levels = cv2.imread(str(folders / "A" / f"{index}.png"), 0)
        write(folders / "ten" / f"{index}.png", levels.astype(np.uint16) * 4)
    status, _, err = score(*TOYS, "--predictions", "ten")
    assert status == 0
    assert "warning: the maps of ten on toys reach 10" in err


def test_tables_say_how_many_images_all_methods_have(score, folders):
    (folders / "B" / "3_sal_fuse.png").unlink()
    command = (*TOYS, "--predictions", "A", "--predictions", "B", "--allow_missing")
    assert score(*command)[0] == 0
    expected = "measured on the 3 of 4 images that all methods have"
    assert all(
        expected in (folders / "out" / f"results.{kind}").read_text() for kind in ("md", "tex")
    )


def test_what_score_leaves_out_and_guesses_is_said(score, folders):
    (folders / "toys" / "gt" / "x.jxl").write_bytes(b"x")
    (folders / "A" / "film.mp4").write_bytes(b"x")
    status, _, err = score(*TOYS, "--predictions", "A", "--predictions", "B")
    assert status == 0
    assert "toys: 1 .jxl left out" in err
    assert "A on toys: 1 .mp4 left out: a video" in err
    assert "B on toys: 4 maps have other names than their masks: 0_sal_fuse.png" in err


def test_masks_with_an_ending_and_maps_without(score, folders):
    for path in (folders / "toys" / "gt").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    status, _, err = score(*TOYS, "--predictions", "A")
    assert status == 0, err
    assert rows_of(folders / "out" / "results.csv")[0]["images"] == "4"


def remarks_of(folders):
    return (folders / "out" / "results.md").read_text()


def test_inverted_maps_are_remarked_on_with_their_mae(score, folders):
    for index in range(4):
        mask = cv2.imread(str(folders / "toys" / "gt" / f"{index}.png"), 0)
        write(folders / "inverse" / f"{index}.png", 255 - cv2.GaussianBlur(mask, (0, 0), 1))
        write(folders / "partly" / f"{index}.png", mask if index else 255 - mask)
    flags = ("--predictions=inverse", "--predictions=partly", "--predictions=B")
    status, _, err = score(*TOYS, *flags)
    assert status == 0, err
    first, second, _ = rows_of(folders / "out" / "results.csv")
    mae = float(first["MAE"])
    assert mae > 0.8
    wrong = "nearer to the inverse of their masks: inverted?"
    said = f"4 of 4 maps of inverse are {wrong} (MAE of all: {mae:.2f})"
    assert f"note: toys: {said}" in err
    assert said in remarks_of(folders)
    assert f"1 of 4 maps of partly are {wrong} (MAE of all: 0.25)" in err
    assert float(second["MAE"]) == pytest.approx(0.25)
    assert "maps of B are" not in err


@pytest.mark.parametrize("level", [0, 90, 255])
def test_constant_maps_are_remarked_on(score, folders, level):
    for index in range(3):
        write(folders / "A" / f"{index}.png", np.full_like(P, level))
    status, _, err = score(*TOYS, "--predictions", "A", "--protocol", "matlab")
    assert status == 0, err
    assert "note: toys: 3 of 4 maps of A are constant" in err
    assert "3 of 4 maps of A are constant" in remarks_of(folders)
    assert "inverted" not in err


def float_file(path, values):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values.astype(np.float32)).save(path)


def test_floats_that_are_no_map_are_named_with_their_range(score, folders):
    for index, (low, high) in enumerate([(-0.25, 0.75), (0, 2), (-3, -1), (0, 1)]):
        float_file(folders / "F" / f"{index}.tiff", np.interp(P, (P.min(), P.max()), (low, high)))
    status, _, err = score(*TOYS, "--predictions", "F")
    assert status == 1
    for index, ends in enumerate(["from -0.25 to 0.75", "from 0 to 2", "from -3 to -1"]):
        assert f"{index}.tiff holds floats {ends}: expected 0 to 1" in err
    assert "16 bits" not in err
    assert rows_of(folders / "out" / "results.csv")[0]["images"] == "1"


def test_a_mask_of_one_pixel_is_named_and_not_scored(score, folders):
    for name, shape in (("dot", (1, 1)), ("line", (1, 3))):
        picture = np.full(shape, 255, np.uint8)
        picture[0, shape[1] // 2 :] = 0 if shape[1] > 1 else 255
        write(folders / "toys" / "gt" / f"{name}.png", picture)
        write(folders / "A" / f"{name}.png", picture)
    status, _, err = score(*TOYS, "--predictions", "A", "--protocol", "both")
    assert status == 1
    assert "the mask of dot is a single pixel, for which PySODMetrics has no E" in err
    for row in rows_of(folders / "out" / "results.csv"):
        assert row["images"] == "5"
        assert 0 <= float(row["maxE"]) < 1.6


def test_maps_that_lie_beside_the_folder_of_their_set_are_named(score, folders):
    shutil.copytree(folders / "A", folders / "Net" / "toys")
    for index in (1, 2):
        write(folders / "Net" / f"{index}_sal.png", P)
    write(folders / "Net" / "logo.png", P)
    status, _, err = score(*TOYS, "--predictions", "Net")
    assert status == 0, err
    assert f"note: Net on toys: 2 maps left out (1_sal, 2_sal) that lie in {folders / 'Net'}" in err
    assert rows_of(folders / "out" / "results.csv")[0]["images"] == "4"
    shutil.copytree(folders / "toys", folders / "more")
    status, _, err = score("--masks=toys", "--masks=more", "--predictions=A", "--output=out")
    assert status == 2
    assert "A: expected one folder toys with the maps of that set" in err


def test_a_soft_mask_that_reaches_1_is_nearly_empty_among_masks_that_reach_255(score, folders):
    soft = (P > 200).astype(np.uint8)
    write(folders / "toys" / "gt" / "3.png", soft)
    status, _, err = score(*TOYS, "--predictions", "A")
    assert status == 0, err
    assert "note: 1 of 4: two values below 255 among masks that reach it" in err
    row = rows_of(folders / "out" / "per_image.csv")[3]
    levels = cv2.imread(str(folders / "A" / "3.png"), 0)
    assert float(row["MAE"]) == pytest.approx(plain_loop([(levels, soft)])[0]["MAE"], abs=1e-12)
    for index in range(3):  # most of them hold 0 and 1: so do all
        mask = cv2.imread(str(folders / "toys" / "gt" / f"{index}.png"), 0)
        write(folders / "toys" / "gt" / f"{index}.png", mask // 255 if index else mask)
    assert score(*TOYS, "--predictions", "A")[0] == 0
    row = rows_of(folders / "out" / "per_image.csv")[3]
    assert float(row["MAE"]) == pytest.approx(plain_loop([(levels, soft * 255)])[0]["MAE"])
