"""The sentence for an error is its own or its cause's, never that of an error being handled."""

import errno

import pytest

from class_jax.errors import DISK_FULL, UserError, sentence_of


def raised(work):
    """The error that a function raises, with its cause and context."""
    with pytest.raises(Exception) as error:  # noqa: PT011 - whichever it is
        work()
    return error.value


def test_a_users_mistake_is_its_own_sentence():
    assert sentence_of(UserError("no such folder.")) == "no such folder."


def test_a_fault_has_no_sentence():
    assert sentence_of(KeyError("x")) is None
    assert sentence_of(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG])
def test_a_refusal_of_the_system_names_the_path(number):
    sentence = sentence_of(OSError(number, "words in any language", "/a/b"))
    assert sentence.startswith("/a/b: ")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_through_what_libraries_wrap_around_it(number):
    def work():
        try:
            raise OSError(number, "full")
        except OSError as error:
            raise ValueError("a library's own words") from error

    assert sentence_of(raised(work)) == DISK_FULL


def test_a_bug_while_an_error_is_handled_is_not_told_as_that_error():
    def work():
        try:
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", "/a")
        except NotADirectoryError:
            {}["a bug"]

    error = raised(work)
    assert isinstance(error.__context__, NotADirectoryError)
    assert sentence_of(error) is None


def test_no_words_of_a_message_count():
    assert sentence_of(RuntimeError("No space left on device")) is None
    assert sentence_of(RuntimeError("could not determine home directory")) is None
