"""Progress: how calls of several stages tell what is done."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, what is done of it, and the total."""
