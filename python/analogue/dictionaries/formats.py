"""Formats: which files are a dictionary, and which module loads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from . import (
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    hook_z,
    linear,
    llama_scope,
    llamascopium,
    mwhanna,
    openai,
    qwen_scope,
    saelens,
    sparsify,
)
from .base import Dictionary
from .tensors import read_tensors


@dataclass(frozen=True)
class Format:
    """A checkpoint format.

    What is malformed, or of a kind that cannot be computed exactly, is a ValueError, TypeError or FileNotFoundError of
    one sentence: file, field or tensor, what came, what is wanted.

    Attributes
    ----------
    maker : str
        Who writes it, for errors.
    pattern : str
        Of the weight file's name.
    load : callable
        From weight file, site (where the caller knows better than the checkpoint, else None) and ``activation``, "post"
        or "pre", to a dictionary.
    site_of : callable
        From weight file to the site that the checkpoint names, None when it names none; a hook that is at no module's
        input or output is a ValueError.
    fits : callable
        Whether a file that is called so is of this format.
    folder_of : callable
        From weight file to the folder that is the dictionary.
    single : bool
        Whether such a folder holds one dictionary; else the file is it.
    """

    maker: str
    pattern: str
    load: Callable[[Path, str | None, str], Dictionary]
    site_of: Callable[[Path], str | None]
    fits: Callable[[Path], bool] = lambda file: True  # noqa: ARG005
    folder_of: Callable[[Path], Path] = lambda file: file.parent
    single: bool = True


def _holds(*names: str) -> Callable[[Path], bool]:
    """Return what says whether a file holds tensors of these names."""

    def fits(file: Path) -> bool:
        try:
            return set(names) <= set(read_tensors(file))
        except ValueError:
            return False

    return fits


FORMATS = (
    Format("sparsify", sparsify.WEIGHTS, sparsify.load, sparsify.site_of),
    Format("llamascopium", llamascopium.WEIGHTS, llamascopium.load, llamascopium.site_of, llamascopium.fits),
    Format("SAELens", saelens.WEIGHTS, saelens.load, saelens.site_of),
    Format("Gemma Scope", gemma_scope.WEIGHTS, gemma_scope.load, gemma_scope.site_of),
    Format("Gemma Scope 2", gemma_scope_2.WEIGHTS, gemma_scope_2.load, gemma_scope_2.site_of),
    Format("dictionary_learning", dictionary_learning.WEIGHTS, dictionary_learning.load, dictionary_learning.site_of),
    *(
        Format(
            "Llama Scope",
            f"checkpoints/{name}",
            llama_scope.load,
            llama_scope.site_of,
            llama_scope.fits,
            llama_scope.folder_of,
        )
        for name in llama_scope.WEIGHTS
    ),
    Format("Qwen Scope", qwen_scope.WEIGHTS, qwen_scope.load, qwen_scope.site_of, single=False),
    Format("mwhanna", mwhanna.WEIGHTS, mwhanna.load, mwhanna.site_of, single=False),
)
"""Formats that are told by the names of their files."""

BY_CONTENT = tuple(
    Format(maker, pattern, load, site_of, fits, single=False)
    for pattern in ("*.pt", "*.pth")
    for maker, load, site_of, fits in (
        ("Kissane et al.", hook_z.load, hook_z.site_of, lambda file: hook_z.config_of(file).is_file()),
        ("OpenAI", openai.load, openai.site_of, _holds(*openai.NAMES)),
        ("Goodfire", linear.load, linear.site_of, _holds(*linear.GOODFIRE)),
        ("DeepSeek-R1", linear.load, linear.site_of, _holds(*linear.DEEPSEEK)),
    )
)
"""Formats whose files may have any name; other programs write such files too."""

REFUSED = {
    "cc_weights.pt": "a crosscoder, which reads several models or layers at once",
    "W_enc_*.safetensors": "a cross-layer transcoder, which reads one site and writes many",
    "W_dec_*.safetensors": "a cross-layer transcoder, which reads one site and writes many",
}
"""Weight files that no format here can hold, and what they are."""


def format_of(file: Path, formats: tuple[Format, ...] = (*FORMATS, *BY_CONTENT)) -> Format | None:
    """Return the format that a file is the weights of, None when it is of none."""
    for known in formats:
        depth = known.pattern.count("/") + 1
        if fnmatchcase("/".join(file.parts[-depth:]), known.pattern) and known.fits(file):
            return known
    return None


def wanted() -> str:
    """Return in words what files a dictionary may be."""
    makers: dict[str, list[str]] = {}
    for known in FORMATS:
        makers.setdefault(known.pattern, []).append(known.maker)
    named = ", ".join(f"{pattern} ({' or '.join(names)})" for pattern, names in makers.items())
    return f"a folder with {named}, or a .pt file of OpenAI, Goodfire, DeepSeek-R1 or Kissane et al."
