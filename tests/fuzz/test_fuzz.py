"""Seconds of fuzzing: seeds with bytes changed, cut, doubled; minutes are documented in targets."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

PIECES = [b"", b"\0", b"\xff" * 4, b"1e999", b"[" * 50, b"NaN", b"-1", b"\x80", b"{", b'"', b"="]


def mutations(seeds):
    """Seeds of which some pieces were replaced, and bytes of any kind."""
    change = st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(PIECES) | st.binary())

    def apply(seed, changes):
        for place, length, piece in changes:
            start = int(place * len(seed))
            seed = seed[:start] + piece + seed[start + length :]
        return seed

    return st.builds(apply, st.sampled_from(seeds), st.lists(change, max_size=6)) | st.binary()


def fuzz(target, seeds):
    """Give a target its seeds, and changes of them."""
    for seed in seeds:
        target(seed)

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutations(seeds))
    def give(data):
        target(data)

    give()


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_ends_in_a_value_or_a_sentence(name):
    fuzz(*TARGETS[name])
