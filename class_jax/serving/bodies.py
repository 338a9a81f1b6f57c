"""Bodies of requests: the image in a form, and what a body is if not an image."""

import re

from class_jax.serving.visit import RefusedError

MOST_PARTS = 20  # of a form
MOST_PART_HEAD = 4096  # bytes
MOST_FIELD = 1000  # bytes, of a setting
FORM = "multipart/form-data"
BOUNDARY = re.compile(r';\s*boundary="?([^";]{1,200})', re.IGNORECASE)
DISPOSITION = re.compile(rb"\r\ncontent-disposition:([^\r\n]*)", re.IGNORECASE)
NAME = re.compile(rb';\s*name="?([^";]*)', re.IGNORECASE)
FILE_NAME = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
ADVICE = (
    "send the image's file itself as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)
KINDS = (  # first bytes of files often sent by mistake
    (rb"\s*[\[{]", "JSON"),
    (rb"\s*data:", "the text of a data address"),
    (rb"\s*<svg|\s*<\?xml", "an SVG or XML text"),
    (rb"\s*<", "an HTML page"),
    (rb"https?://\S+\s*$", "an address"),
    (rb"%PDF", "a PDF document"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"....ftyp(isom|mp4|qt|M4V|avc|iso)|\x1aE\xdf\xa3|RIFF....AVI|OggS", "a video"),
    (rb"[\w.%-]{1,100}=[^\n]*$", "the fields of a form"),
    (rb"[A-Za-z0-9+/_-]{64}", "text in base64"),
    (rb"[\t\n\r -~]+$", "text"),
)


def unpack(content_type: str, body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the image in a body, and the settings beside it in a form.

    Raises:
      RefusedError: the form is damaged, or holds no file or several.
    """
    if not content_type.strip().lower().startswith(FORM):
        return body, []
    if not (boundary := BOUNDARY.search(content_type)):
        raise RefusedError(422, f"the form has no boundary: {ADVICE}.")
    damaged = RefusedError(422, f"the form is cut off or damaged: {ADVICE}.")
    mark = b"\r\n--" + boundary[1].strip().encode("latin-1")
    _, *parts = (b"\r\n" + body).split(mark, MOST_PARTS)
    if not parts or not parts.pop().startswith(b"--"):
        raise damaged
    files, fields = [], []
    for part in parts:
        middle = part.find(b"\r\n\r\n", 0, MOST_PART_HEAD)
        if middle < 0:
            raise damaged
        told = DISPOSITION.search(part, 0, middle)
        disposition, content = told[1] if told else b"", part[middle + 4 :]
        if FILE_NAME.search(disposition):
            files.append(content)
        else:
            name = NAME.search(disposition)
            pair = (name[1] if name else b"", content[:MOST_FIELD])
            fields.append((pair[0].decode("utf-8", "replace"), pair[1].decode("utf-8", "replace")))
    if len(files) != 1:
        raise RefusedError(422, f"the form holds {len(files) or 'no'} files: {ADVICE}.")
    return files[0], fields


def describe(body: bytes) -> str | None:
    """Return a sentence about a body that is not an image; None if its kind is unknown."""
    if not body:
        return f"the request holds no image: {ADVICE}."
    for pattern, kind in KINDS:
        if re.match(pattern, body[:200], re.DOTALL):
            return f"the body is {kind}, not an image: {ADVICE}."
    return None
