"""The published sources of the network "photo": fabricated archives, prepared by the real table."""

import http.server
import io
import json
import re
import tarfile
import threading
import zipfile

import numpy as np
import pytest
import scipy.io
from PIL import Image

from datasets.photo.__main__ import run
from datasets.photo.sources import FOLDER, read_sources

SIZE = 60, 40  # width and height
STAR = np.array([(5.2, 3.1), (50.4, 8.6), (30.3, 20.2), (55.5, 35.7), (12.1, 30.3)])
BOX = np.array([(20.3, 10.4), (33.7, 10.4), (33.7, 28.6), (20.3, 28.6)])
HOSTS = r"https://github\.com|https://data\.caltech\.edu|http://images\.cocodataset\.org"
PICTURES = """\
caltech101-outlines\ttrain\tairplanes\t0002
caltech101-outlines\tvalidation\tanchor\t0001
sysu-shape-caltech\ttrain\tairplane_101_airplanes_image\t0012
wild-animals-openimages\ttrain\tdeer\t00000000000000aa
wild-animals-openimages\tvalidation\ttiger\t00000000000000bb
coco-open\ttrain\t\t000000000007 000000000009
people-coco-grabcut\tvalidation\t\t000000000007
people-coco\ttrain\t\t000000000007
kuih-food\ttrain\tIMG\t0004-2
no-object\ttrain\tbg\t0004
no-object\ttrain\tpellets\t4902_Left
no-object\ttrain\tpalms\t12aj_08_png
caltech101-unlabelled\ttrain\tFaces_easy\t0003
coco-val-open-unlabelled\ttrain\t\t000000000008
"""


def inside(corners, size=SIZE):
    """Which pixels' centres have an odd number of a polygon's edges to their left."""
    x = np.arange(size[0]) + 0.5
    crossed = np.zeros(size[::-1], int)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        for row in range(size[1]):
            centre = row + 0.5
            if (y0 <= centre) != (y1 <= centre):
                crossed[row] += x0 + (centre - y0) * (x1 - x0) / (y1 - y0) < x
    return crossed % 2 == 1


def picture(level, size=SIZE, black=0):
    """A JPEG of one grey level, with black columns on its left."""
    pixels = np.full((*size[::-1], 3), level, np.uint8)
    pixels[:, :black] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=95)
    return file.getvalue()


def matlab(*outlines, **options):
    """A file of MATLAB with outlines from their boxes, which begin at 1."""
    items = [(np.array([[3, 30, 5, 50]]), corners.T - [[4], [2]]) for corners in outlines]
    kind = [("box_coord", object), ("obj_contour", object)]
    file = io.BytesIO()
    content = {"object": np.array(items, kind)}
    if options:
        content = dict(zip(("box_coord", "obj_contour"), items[0], strict=True))
    scipy.io.savemat(file, content)
    return file.getvalue()


def tar(files, mode):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def coco(images, objects):
    """A file of COCO; objects are (image, category, corners, is a crowd)."""
    names = {1: "person", 2: "dog", 3: "couch"}
    content = {
        "images": [
            {"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for number, name in images.items()
        ],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "annotations": [
            {
                "image_id": image,
                "category_id": category,
                "segmentation": [corners.ravel().tolist()],
                "bbox": [*corners.min(axis=0), *np.ptp(corners, axis=0)],
                "area": float(inside(corners).sum()),
                "iscrowd": crowd,
            }
            for image, category, corners, crowd in objects
        ],
    }
    return json.dumps(content)


SPECK = BOX * 0.1 + (42, 18)  # small, beside STAR but within its box
STRAY = BOX * 0.1  # small, outside of it


def archives():
    """The files that the addresses of the table give."""
    caltech = {
        "101_ObjectCategories/airplanes/image_0002.jpg": picture(40),
        "101_ObjectCategories/airplanes/image_0005.jpg": picture(45),
        "101_ObjectCategories/anchor/image_0001.jpg": picture(50, (640, 480)),
        "101_ObjectCategories/BACKGROUND_Google/image_0004.jpg": picture(60, (512, 128)),
        "101_ObjectCategories/Faces_easy/image_0003.jpg": picture(70, (448, 224)),
    }
    outlines = {
        "Annotations/Airplanes_Side_2/annotation_0002.mat": matlab(STAR, one=True),
        "Annotations/anchor/annotation_0001.mat": matlab(STAR * 8, one=True),
    }
    wild = {1: "00000000000000aa_jpg.rf.11.jpg", 2: "00000000000000aa_jpg.rf.22.jpg"}
    val = [(7, 1, STAR, 0), (7, 2, BOX, 0), (7, 1, STRAY, 0), (7, 3, BOX + 15, 0)]
    train = [(9, 2, STAR, 0), (9, 1, SPECK, 0), (9, 1, STRAY, 0), (9, 2, BOX, 1)]
    kuih = [f"3 {' '.join(map(str, (c / SIZE).ravel()))}\n" for c in (BOX, STAR)]
    return {
        "caltech-101.zip": zipped(
            {
                "caltech-101/101_ObjectCategories.tar.gz": tar(caltech, "w:gz"),
                "caltech-101/Annotations.tar": tar(outlines, "w"),
                "__MACOSX/caltech-101/._Annotations.tar": "junk",
            }
        ),
        "f2a453474b2711485e2c1bb14eb989bc4133d9e1.zip": zipped(
            {
                "sysu/airplane/images/101_airplanes_image_0012.jpg": picture(80),
                "sysu/airplane/annotations/101_airplanes_image_0012.mat": matlab(BOX, STAR),
                "sysu/airplane/contours/101_airplanes_image_0012.jpg": picture(0),
            }
        ),
        "609dc5553c744a77dca2dfd3eb433cb4ad02042d.zip": zipped(
            {
                f"x/dataset/train/{wild[2]}": picture(95),
                f"x/dataset/train/{wild[1]}": picture(90),
                "x/dataset/train/_annotations.coco.json": coco(
                    wild, [(1, 2, STAR, 0), (2, 2, BOX, 0)]
                ),
                "x/dataset/valid/00000000000000bb_jpg.rf.1.jpg": picture(100),
                "x/dataset/valid/_annotations.coco.json": coco(
                    {5: "00000000000000bb_jpg.rf.1.jpg"}, [(5, 2, BOX, 0)]
                ),
            }
        ),
        "f2823188581dd7c895826b165ce5413c0c290d96.zip": zipped(
            {
                "x/train/images/IMG_0004-2_jpg.rf.b1.jpg": picture(115),
                "x/train/labels/IMG_0004-2_jpg.rf.b1.txt": kuih[0],
                "x/train/images/IMG_0004-2_jpg.rf.a2.jpg": picture(110),
                "x/train/labels/IMG_0004-2_jpg.rf.a2.txt": kuih[1],
            }
        ),
        "1e3011d1058bed8fbb238d3edef883dbd68af17e.zip": zipped(
            {"x/Dataset/train/4902_Left_jpg.rf.0.jpg": picture(120, black=16)}
        ),
        "16c233033f4ad697dce84d64e99dfcfd812574cd.zip": zipped(
            {"x/train/images/12aj_08_png_jpg.rf.0.jpg": picture(130)}
        ),
        "annotations_trainval2017.zip": zipped(
            {
                "annotations/instances_val2017.json": coco({7: "000000000007.jpg"}, val),
                "annotations/instances_train2017.json": coco({9: "000000000009.jpg"}, train),
                "annotations/captions_val2017.json": "{}",
            }
        ),
        "val2017/000000000007.jpg": picture(140),
        "val2017/000000000008.jpg": picture(150, (512, 256)),
        "train2017/000000000009.jpg": picture(160),
    }


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves FILES by the ends of their addresses, and counts what was asked for."""

    files: dict
    asked: list

    def do_GET(self):
        self.asked.append(self.path)
        content = next((c for name, c in self.files.items() if self.path.endswith(name)), None)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def tables(tmp_path):
    """A folder with the real table of sources, but addresses of a server here, and few pictures."""
    Handler.files, Handler.asked = archives(), []
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "pictures.tsv").write_text(PICTURES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = re.sub(
            HOSTS, f"http://127.0.0.1:{server.server_port}", (FOLDER / "sources.toml").read_text()
        )
        (folder / "sources.toml").write_text(re.sub(r', md5 = "\w+"', "", text))
        yield folder
        server.shutdown()


def read(path):
    return np.asarray(Image.open(path))


EXPECTED = {
    "caltech101-outlines/{}/airplanes_0002": (40, inside(STAR)),
    "validation/{}/caltech_anchor_0001": (50, inside(STAR * 4, (320, 240))),
    "sysu-shape-caltech/{}/airplane_101_airplanes_image_0012": (80, inside(STAR) | inside(BOX)),
    "wild-animals-openimages/{}/deer_00000000000000aa": (90, inside(STAR)),
    "validation/{}/wild_tiger_00000000000000bb": (100, inside(BOX)),
    "coco-open/{}/000000000007": (140, inside(STAR) | inside(BOX)),
    "coco-open/{}/000000000009": (160, inside(STAR) | inside(SPECK)),
    "validation/{}/people_000000000007": (140, inside(STAR)),
    "people-coco/{}/000000000007": (140, inside(STAR)),
    "kuih-food/{}/IMG_0004-2": (110, inside(STAR)),
    "no-object/{}/bg_0004": (60, np.zeros((64, 256), bool)),
    "no-object/{}/pellets_4902_Left": (120, np.zeros((40, 44), bool)),
    "no-object/{}/palms_12aj_08_png": (130, np.zeros((40, 60), bool)),
    "caltech101-unlabelled/{}/Faces_easy_0003": (70, None),
    "coco-val-open-unlabelled/{}/000000000008": (150, None),
}
SHAPES = {"Faces_easy_0003": (112, 224, 3), "000000000008": (128, 256, 3)}


def test_every_source_is_prepared_and_split_as_the_tables_say(tables, tmp_path, capsys):
    root = tmp_path / "root"
    assert run([str(root)], tables=tables) == 0
    for name, (level, mask) in EXPECTED.items():
        image = read(root / f"{name.format('images')}.jpg")
        assert abs(image[:, -20:].mean() - level) < 2, name
        if mask is None:
            assert image.shape == SHAPES[name.rpartition("/")[2]]
            continue
        assert image.shape == (*mask.shape, 3), name
        np.testing.assert_array_equal(read(root / f"{name.format('masks')}.png"), 255 * mask, name)
    written = {path.relative_to(root).as_posix() for path in root.glob("*/images/*")}
    assert written == {f"{name.format('images')}.jpg" for name in EXPECTED}
    assert "kuih-food: 1 images are ready; CC BY 4.0" in capsys.readouterr().out


def test_what_is_there_is_not_fetched_again(tables, tmp_path):
    run([str(tmp_path / "root")], tables=tables)
    Handler.asked.clear()
    assert run([str(tmp_path / "root")], tables=tables) == 0
    assert Handler.asked == []


def test_a_source_that_cannot_be_fetched_is_named_and_the_others_are_ready(
    tables, tmp_path, capsys
):
    del Handler.files["f2823188581dd7c895826b165ce5413c0c290d96.zip"]
    assert run([str(tmp_path / "root")], tables=tables) == 1
    out, err = capsys.readouterr()
    assert re.search(
        r"kuih-food: http.* answers 404 .*Kuih\S+\.zip .*put it into \S*root/downl", out
    )
    assert "no-object: 3 images are ready" in out
    assert "Not whole: kuih-food." in err


def test_pictures_that_an_archive_lacks_are_named(tables, tmp_path, capsys):
    with (tables / "pictures.tsv").open("a") as file:
        file.write("kuih-food\ttrain\tIMG\t0005 0006\n")
    assert run([str(tmp_path / "root")], tables=tables) == 1
    assert "kuih-food: no IMG_0005, IMG_0006 in its archives" in capsys.readouterr().out
    assert (tmp_path / "root" / "kuih-food" / "images" / "IMG_0004-2.jpg").exists()


def test_a_broken_archive_is_named(tables, tmp_path, capsys):
    whole = Handler.files["caltech-101.zip"]
    Handler.files["caltech-101.zip"] = whole[: len(whole) // 2]
    assert run([str(tmp_path / "root")], tables=tables) == 1
    assert "caltech-101.zip is not a complete archive" in capsys.readouterr().out


def test_a_root_that_is_a_file_is_a_mistake_of_the_user(tmp_path, capsys):
    (tmp_path / "root").write_text("")
    assert run([str(tmp_path / "root")]) == 2
    assert "is a file: expected a folder" in capsys.readouterr().err


def test_an_image_stored_on_its_side_is_upright_with_its_mask(tables, tmp_path):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turn it by 90° clockwise
    Image.open(io.BytesIO(picture(140))).save(file, format="JPEG", exif=exif)
    Handler.files["val2017/000000000007.jpg"] = file.getvalue()
    run([str(tmp_path / "root")], tables=tables)
    folder = tmp_path / "root" / "validation"
    assert read(folder / "images" / "people_000000000007.jpg").shape == (60, 40, 3)
    mask = read(folder / "masks" / "people_000000000007.png")
    np.testing.assert_array_equal(mask, 255 * np.rot90(inside(STAR), -1))


def test_what_is_published_is_split_by_class_and_source_and_has_no_picture_twice():
    sources = {source.name: source for source in read_sources()}
    counts = {
        name: [
            sum(entry.image.parts[0] == part for entry in source.entries)
            for part in (name, "validation")
        ]
        for name, source in sources.items()
    }
    assert counts == {
        "caltech101-outlines": [1200, 199],
        "sysu-shape-caltech": [500, 22],
        "wild-animals-openimages": [284, 40],
        "coco-open": [31, 34],
        "people-coco-grabcut": [38, 20],
        "people-coco": [74, 0],
        "kuih-food": [80, 20],
        "no-object": [135, 0],
        "caltech101-unlabelled": [3317, 0],
        "coco-val-open-unlabelled": [550, 0],
    }
    for name in ("caltech101-outlines", "wild-animals-openimages", "sysu-shape-caltech"):
        kinds = [
            {
                e.image.stem.removeprefix(sources[name].held_out).rpartition("_")[0]
                for e in sources[name].entries
                if e.image.parts[0] == part
            }
            for part in (name, "validation")
        ]
        assert not kinds[0] & kinds[1]
    paths = [entry.image for source in sources.values() for entry in source.entries]
    assert len(set(paths)) == len(paths)
    labelled = [entry.key for s in sources.values() if s.annotations for entry in s.entries]
    assert len(set(labelled)) == len(labelled)


def test_every_photograph_of_coco_has_its_licence_and_address():
    rows = [line.split("\t") for line in (FOLDER / "attribution.tsv").read_text().splitlines()[1:]]
    for source in read_sources():
        if source.coco:
            assert {row[1] for row in rows if row[0] == source.name} == {
                e.key for e in source.entries
            }
    assert {row[2] for row in rows} == {"CC BY 2.0", "CC BY-SA 2.0", "no known restrictions"}
    assert all(
        re.fullmatch(r"https?://farm\d+\.staticflickr\.com/\S+\.jpg", row[3]) for row in rows
    )
