"""The least memory that a search needs, as its refusal says."""

import re

import pytest


def least_limit(search):
    """Ask for the number in what ``search(memory_limit)`` says of a limit that is too small."""
    with pytest.raises(ValueError, match=r"^memory_limit must be at least \d+ bytes for these features") as refused:
        search(1000)
    return int(re.search(r"least (\d+)", str(refused.value))[1])
