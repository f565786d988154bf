"""Settings that must stand before anything is imported."""

import os
import sys

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is first imported
os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

settings.register_profile("fast", max_examples=25, deadline=None, derandomize=True)
settings.register_profile("slow", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def demo():
    """The embedded pair compared, with 100 permutations."""
    from analogue import Settings
    from analogue.demo import run_demo

    return run_demo(Settings(permutations=100))


@pytest.fixture
def run(monkeypatch, capsys):
    """The command line in this process: exit status, what it printed to stdout and to stderr."""
    from analogue.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["analogue", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
