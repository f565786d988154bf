"""The house: what an import costs and pulls in, which room may import which, one version, one stub."""

import os
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import analogue

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "transformers", "scipy", "pandas", "matplotlib", "pyarrow", "triton", "rich", "typer", "datasets")


def fresh(code):
    with_cache = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=with_cache)
    return child.stdout.strip()


def test_import_pulls_in_nothing_heavy():
    loaded = fresh("import sys, analogue; print(*{name.split('.')[0] for name in sys.modules})").split()
    assert not set(HEAVY) & set(loaded)


def test_import_is_fast():
    """At most 2.5 times `import numpy`, which is part of it; CPU time of the thread, fresh interpreters, medians."""
    timed = "import time; start = time.thread_time(); import {}; print(time.thread_time() - start)"
    seconds = {"numpy": [], "analogue": []}
    for _ in range(7):
        for name, values in seconds.items():
            values.append(float(fresh(timed.format(name))))
    assert statistics.median(seconds["analogue"]) <= 2.5 * statistics.median(seconds["numpy"])


def test_rooms_import_in_one_direction():
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_every_room_is_in_the_contract():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    named = set(re.findall(r"analogue\.(\w+)", " ".join(layers)))
    package = ROOT / "python" / "analogue"
    rooms = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms - {"__init__"} <= named


def test_one_version():
    from importlib.metadata import version

    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert analogue.__version__ == version("analogue") == cargo
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


# `kernels` is a folder without __init__.py, and there only once somebody has imported it
@pytest.mark.parametrize("name", [name for name in vars(analogue) if not name.startswith("_") and name != "kernels"])
def test_public_words_are_documented(name):
    assert getattr(analogue, name).__doc__
