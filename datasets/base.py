"""The base of all named sets: a TFDS builder that pairs images and masks, without TensorFlow.

The store holds the name of every pair and the paths of its two files below the root. Images are
not copied, and the root may be moved.
"""

import contextlib
import dataclasses
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from class_jax.data.layouts import Layout
from class_jax.data.pairs import Findings, check_pairs, check_usable, match_pairs
from class_jax.data.sources import Pair, PairSource
from class_jax.errors import UserError
from datasets.download import Archive, download, unpack

SPLIT = "pairs"


@dataclasses.dataclass(kw_only=True, eq=False)
class SetConfig(tfds.core.BuilderConfig):
    """One published set: its archives, its folders in them, and its number of pairs."""

    title: str  # the name of a folder that may hold the set
    archives: tuple[Archive, ...]
    images: str  # folder of images in the unpacked archives
    masks: str
    pairs: int
    doubled_masks: frozenset[str] = frozenset()  # stems with a wrong .png beside a right .jpg
    stray_masks: frozenset[str] = frozenset()  # file names that belong to no image


class SaliencyPairs(tfds.core.GeneratorBasedBuilder):
    """Builder of a set of images with masks; a subclass says which, and whom to cite."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.1.0": "Pairs by stem, and their check."}
    DESCRIPTION: ClassVar[str]
    CITATION: ClassVar[str]
    HOMEPAGE: ClassVar[str]

    def __init__(self, *, root: Path, skip_broken: bool = False, **options: Any) -> None:
        """Store the folder of all named sets; `skip_broken` leaves broken pairs out."""
        self._root, self._skip_broken = root, skip_broken
        super().__init__(data_dir=root, file_format="array_record", **options)

    def prepare(self) -> None:
        """Find, check and store the pairs, with this project's progress bars and none of TFDS'."""
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # it prints sizes that it does not know
            self.download_and_prepare()

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            citation=self.CITATION,
            homepage=self.HOMEPAGE,
            features=tfds.features.FeaturesDict({"name": text(), "image": text(), "mask": text()}),
            metadata=tfds.core.MetadataDict(),  # of the check: its lines, and `Pair.scale`
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # it unpacks by TensorFlow
        folder = self.find_folder()
        findings = self.check(folder)
        lines = check_usable(findings, folder, skip_broken=self._skip_broken)
        self.info.metadata.update(check=lines, scale=findings.pairs[0].scale)
        return {SPLIT: self._generate_examples(findings.pairs)}

    def _generate_examples(self, pairs: tuple[Pair, ...]) -> Iterator[tuple[str, dict[str, str]]]:
        for pair in pairs:
            yield (
                pair.name,
                {
                    "name": pair.name,
                    "image": pair.image.relative_to(self._root).as_posix(),
                    "mask": pair.masks[0].relative_to(self._root).as_posix(),
                },
            )

    def find_folder(self) -> Path:
        """Return the folder of images and masks, unpacked by hand, before, or now."""
        config = self.builder_config
        manual = self._root / "downloads" / "manual"
        unpacked = self._root / "downloads" / "extracted" / f"{self.name}_{config.name}"
        by_hand = [base / title for base in (self._root, manual) for title in ("", config.title)]
        for folder in (*by_hand, unpacked):
            if (folder / config.images).is_dir() and (folder / config.masks).is_dir():
                return folder
        archives = [self._fetch(archive, manual) for archive in config.archives]
        unpack(archives, unpacked, only=(config.images, config.masks))
        if not (unpacked / config.images).is_dir() or not (unpacked / config.masks).is_dir():
            names = ", ".join(archive.name for archive in archives)
            shutil.rmtree(unpacked)
            raise UserError(
                f"{names} in {manual} hold no folders {config.images} and {config.masks}: expected "
                "the archives of the official release."
            )
        return unpacked

    def _fetch(self, archive: Archive, manual: Path) -> Path:
        """Return an archive that was put there by hand, or download it."""
        config = self.builder_config
        if not archive.url:
            raise UserError(
                f"{config.title} must be fetched by hand: get {archive.file} from "
                f"{self.HOMEPAGE}, unpack it, and put its folders {config.images} and "
                f"{config.masks} into {self._root / config.title}."
            )
        # By the set's name first: "images.zip" could be anybody's.
        for place in (manual / config.title / archive.file, manual / archive.file):
            if place.exists():
                return place
        return download(archive, manual / config.title)

    def check(self, folder: Path) -> Findings:
        """Pair and decode all files; what is missing, surplus or broken are problems."""
        config = self.builder_config
        masks = folder / config.masks
        right = {stem for stem in config.doubled_masks if (masks / f"{stem}.jpg").exists()}
        ignored = config.stray_masks | {f"{stem}.png" for stem in right}
        if present := sorted(name for name in ignored if (masks / name).exists()):
            print(
                f"{folder}: known faults of this release ignored: {', '.join(present)}",
                file=sys.stderr,
            )
        layout = Layout(folder / config.images, masks)
        findings = match_pairs(layout, ignored_masks=frozenset(ignored))
        if len(findings.pairs) != config.pairs:
            count = f"{len(findings.pairs)} pairs were found, {config.pairs} were expected"
            findings = dataclasses.replace(findings, problems=(count, *findings.problems))
        return check_pairs(
            findings, PairSource(findings.pairs), name=f"{config.title} {config.name}"
        )

    def read(self) -> PairSource:
        """Return the prepared pairs."""
        records = self.as_data_source(split=SPLIT)
        rows = ({name: value.decode() for name, value in record.items()} for record in records)
        scale = self.info.metadata["scale"]
        pairs = (
            Pair(row["name"], self._root / row["image"], (self._root / row["mask"],), scale)
            for row in rows
        )
        return PairSource(tuple(sorted(pairs)))  # the store is shuffled
