"""The pages: links lead somewhere, and commands use flags, recipes and leaves that exist."""

import re
import shlex

import pytest

from class_jax.command.parsing import parse_flags
from class_jax.config import load_recipe
from class_jax.leaves import flatten
from tests.program import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def headings(page):
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(target), link


def commands(page):
    """The calls of the program on a page, as lists of arguments."""
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = re.sub(r"\s[<>|].*", "", line.partition(" #")[0])
            if call := re.search(r"(?:main\.py|^class-jax)(?!\S)(.*)", words):
                yield shlex.split(call[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse_and_name_leaves_that_exist(page):
    leaves = flatten(load_recipe("configs/quickstart.py"))
    for arguments in commands(page):
        flags, overrides = parse_flags(arguments)
        if flags.config:
            load_recipe(flags.config)
        for override in overrides:
            name = override.partition("=")[0].removeprefix("--config.")
            assert name in leaves, override


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_a_page_begins_with_what_its_reader_can_do_afterwards(page):
    _, _, rest = page.read_text().partition("\n\n")
    assert rest.startswith("After this page you "), page.name


def test_files_that_the_architecture_names_are_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"\b[a-z_]+/[a-z_/]*[a-z_]+\.py", page))
    assert len(named) > 30
    places = (ROOT / "class_jax", ROOT)
    assert not [name for name in named if not any((place / name).is_file() for place in places)]
