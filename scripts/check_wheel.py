"""Check that a wheel holds what users need and nothing that would shadow another package."""

from __future__ import annotations

import sys
import zipfile

REQUIRED = (
    "analogue/__init__.py",
    "analogue/_core.abi3.so",
    "analogue/_core.pyi",
    "analogue/py.typed",
    "analogue/kernels/correlation.py",
    "analogue/data/junk.toml",
    "analogue/data/demo/README.md",
    "analogue/data/demo/held_out.jsonl",
    "analogue/data/demo/model_a/model.safetensors",
    "analogue/data/demo/sae_control/layers.2/sae.safetensors",
)


def main() -> None:
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        names = set(wheel.namelist())
    missing = [name for name in REQUIRED if name not in names]
    # A top-level `kernels` would shadow the package of that name, which transformers imports.
    foreign = sorted({name.split("/")[0] for name in names if not name.startswith("analogue")})
    if missing or foreign:
        raise SystemExit(f"{sys.argv[1]}: missing {missing}, unexpected at the top {foreign}")
    print(f"{sys.argv[1]}: {len(names)} files, all of {len(REQUIRED)} required ones among them")


if __name__ == "__main__":
    main()
