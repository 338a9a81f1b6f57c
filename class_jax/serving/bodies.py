"""Bodies of requests: the picture in a form, and the kind of what is no picture."""

import re

from class_jax.serving.connection import RefusedError

MOST_PARTS = 20  # of a form
MOST_PART_HEAD = 4096  # bytes
MOST_FIELD = 1000  # bytes, of a parameter
FORM = "multipart/form-data"
BOUNDARY = re.compile(r';\s*boundary="?([^";]{1,200})', re.IGNORECASE)
NAME = re.compile(r';\s*name="?([^";]*)', re.IGNORECASE)
FILE_NAME = re.compile(r";\s*filename\*?=", re.IGNORECASE)
ADVICE = (
    "send the picture's file itself as the body (curl --data-binary @photo.jpg) or in a form "
    "(curl -F file=@photo.jpg)"
)
KINDS = (  # how files begin that are often sent instead of a picture
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


def unpack(content_type: str, body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the picture in a body, and the parameters beside it in a form.

    Raises:
      RefusedError: the form is damaged, or holds no file or several.
    """
    if not content_type.strip().lower().startswith(FORM):
        return body, {}
    if not (boundary := BOUNDARY.search(content_type)):
        raise RefusedError(422, f"the form has no boundary: {ADVICE}.")
    return _read_form(body, boundary[1].strip().encode("latin-1"))


def _read_form(body: bytes, boundary: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the file and the fields of a form."""
    mark, files, fields = b"\r\n--" + boundary, [], {}
    start = 0 if body.startswith(mark[2:]) else body.find(mark) + 2
    for _ in range(MOST_PARTS):
        start += len(mark) - 2
        if start < len(mark) - 2 or body[start : start + 2] != b"\r\n":
            break
        end = body.find(mark, start)
        middle = body.find(b"\r\n\r\n", start, min(end, start + MOST_PART_HEAD))
        if end < 0 or middle < 0:
            raise RefusedError(422, f"the form is cut off or damaged: {ADVICE}.")
        name, is_file = _parse_part(body[start:middle])
        if is_file:
            files.append((middle + 4, end))
        else:
            fields[name] = body[middle + 4 : min(end, middle + 4 + MOST_FIELD)].decode(
                "utf-8", "replace"
            )
        start = end + 2
    if len(files) != 1:
        raise RefusedError(422, f"the form holds {len(files) or 'no'} files: {ADVICE}.")
    ((first, last),) = files
    return body[first:last], fields


def _parse_part(head: bytes) -> tuple[str, bool]:
    """Return the name of a part of a form, and whether it is a file."""
    for line in head.decode("utf-8", "replace").splitlines():
        if line.lower().startswith("content-disposition:"):
            name = NAME.search(line)
            return name[1] if name else "", bool(FILE_NAME.search(line))
    return "", False


def describe(body: bytes) -> str | None:
    """Return a sentence about a body that is no picture; None if its kind is not known."""
    if not body:
        return f"the request holds no picture: {ADVICE}."
    for pattern, kind in KINDS:
        if re.match(pattern, body[:200], re.DOTALL):
            return f"the body is {kind}, not a picture: {ADVICE}."
    return None
