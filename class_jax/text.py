"""Text for people: names of any bytes, and lists that stay short."""

from collections.abc import Iterable, Sequence

MAX_LISTED = 10
LONGEST = 100  # characters of a value that are quoted


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with control characters and stray bytes, which file names may hold, escaped."""
    return "".join(
        letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text
    )


def shorten(text: str, length: int) -> str:
    """Return at most `length` characters; the end is kept, which says more than the start."""
    text = printable(text)
    return text if len(text) <= length else f"...{text[3 - length :]}"


def quote(value: object) -> str:
    """Return the beginning of a user's value, to be quoted in a message."""
    text = str(value)
    return printable(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")


def list_names(names: Iterable[object]) -> str:
    """Return up to ten names in a line: "a, b, c and 4 more"."""
    words = [printable(str(name)) for name in names]
    more = f" and {len(words) - MAX_LISTED} more" if len(words) > MAX_LISTED else ""
    return ", ".join(words[:MAX_LISTED]) + more


def list_lines(items: Sequence[object]) -> str:
    """Return up to ten items, each on an indented line of its own, then "and N more"."""
    lines = [printable(str(item)) for item in items[:MAX_LISTED]]
    if len(items) > MAX_LISTED:
        lines.append(f"and {len(items) - MAX_LISTED} more")
    return "".join(f"\n  {line}" for line in lines)


def count(number: int, noun: str) -> str:
    """Return "1 map" or "3 maps" of a noun in the plural."""
    return f"{number} {noun.removesuffix('s') if number == 1 else noun}"


def first_line(error: BaseException | None) -> str:
    """Return the first line of a library's error, as some say much; else its type."""
    lines = str(error).strip().splitlines()
    return shorten(lines[0] if lines else type(error).__name__, 200)
