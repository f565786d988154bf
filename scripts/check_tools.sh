#!/bin/sh
# Name what is missing in one sentence, before a build fails in fifty lines.
python=${1:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "analogue needs Python 3.11 or newer, and '$python' is not; run make with PYTHON=/path/to/python3." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "analogue needs Python's venv and ensurepip modules; on Debian they are the package python3-venv." >&2
    exit 1
fi
if ! command -v "${CC:-cc}" >/dev/null 2>&1; then
    echo "analogue needs a C compiler, and '${CC:-cc}' was not found; on Debian it is the package gcc." >&2
    exit 1
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "analogue needs a Rust toolchain (1.88 or newer), and cargo was not found; rustup installs one." >&2
    exit 1
fi
