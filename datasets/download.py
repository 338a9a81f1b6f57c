"""Downloads and archives: resumed, verified, and never incomplete under their final name."""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import requests
from tqdm import tqdm

from class_jax.errors import UserError

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
# Some hosts refuse unknown clients.
HEADERS = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}


class Archive(NamedTuple):
    """An official archive."""

    file: str
    url: str  # empty if only a person can fetch it
    sha256: str = ""  # empty if unknown
    md5: str = ""


def download(archive: Archive, folder: Path) -> Path:
    """Download an archive into `folder`, continuing an earlier attempt.

    Raises:
      UserError: no network, a refusal, another checksum, a full disk; says what to do by hand.
    """
    done = folder / archive.file
    if done.exists():
        return done
    part = folder / f"{archive.file}.part"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(archive, part)
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"{archive.url} could not be downloaded ({_reason(error)}): fetch {archive.file} by "
            f"other means and put it into {folder}, or try again to continue."
        ) from error
    for kind, known in (("sha256", archive.sha256), ("md5", archive.md5)):
        if known and _digest(part, kind) != known:
            part.unlink()
            raise UserError(
                f"{archive.url} is not the known {archive.file} (its {kind} differs), and was "
                f"deleted: fetch the archive by other means and put it into {folder}."
            )
    # Recorded so that copies can be compared if no official checksum is known.
    found = _digest(part, "sha256")
    done.with_name(f"{archive.file}.sha256").write_text(f"{found}  {archive.file}\n")
    return part.rename(done)


def _fetch(archive: Archive, part: Path) -> None:
    """Append the missing bytes of the archive to `part`."""
    have = part.stat().st_size if part.exists() else 0
    headers = HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(archive.url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is missing
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        left = answer.headers.get("Content-Length")
        start = have if resumed else 0
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(
                desc=archive.file,
                initial=start,
                total=start + int(left) if left else None,
                unit="B",
                unit_scale=True,
            ) as bar,
        ):
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            if left and bar.n < bar.total:
                raise OSError(f"the connection ended after {bar.n} of {bar.total} bytes")


def unpack(archives: Sequence[Path], folder: Path, *, only: Sequence[str]) -> None:
    """Unpack zip archives to `folder`, which appears only when complete.

    Args:
      archives: all are unpacked into one folder.
      folder: created, with its parents.
      only: folders in the archives to unpack.

    Raises:
      UserError: a broken zip archive, or a member that would leave the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for archive in archives:
            _unpack_archive(archive, scratch, [PurePosixPath(part) for part in only])
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} could not be filled: {_reason(error)}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack_archive(archive: Path, folder: Path, only: Sequence[PurePosixPath]) -> None:
    try:
        with zipfile.ZipFile(archive) as source:
            for member, path in list_members(source, archive):
                if any(path.is_relative_to(part) for part in only):
                    _extract(source, member, folder / path)
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{archive} is not a complete zip archive ({error}): delete it and fetch it again."
        ) from error


def list_members(
    source: zipfile.ZipFile, archive: Path
) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Yield the files in an archive with their paths, without what file managers add."""
    for member in source.infolist():
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{archive} holds {member.filename}, which would leave its folder.")
        if not member.is_dir() and "__MACOSX" not in path.parts and not path.name.startswith("."):
            yield member, path


def _extract(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    packed: IO[bytes]
    with source.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _reason(error: Exception) -> str:
    """Return a short reason: messages of network errors are full of addresses."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not valid"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:200]
