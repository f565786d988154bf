"""`analogue demo`: the embedded models, and the control."""

from __future__ import annotations

from ..demo import run_demo
from ..runs import check_target
from ..settings import Settings
from .options import Device, Json, MaxTokens, NoActivations, Out, Overwrite, Permutations, Seed, permutations_of
from .output import finish, progress_bars

_DEFAULTS = Settings()


def demo_command(
    out: Out,
    permutations: Permutations = str(_DEFAULTS.permutations),
    seed: Seed = _DEFAULTS.seed,
    max_tokens: MaxTokens = None,
    device: Device = "auto",
    no_activations: NoActivations = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare the two embedded models at two sites each, and one of them never trained as control."""
    check_target(out, overwrite=overwrite)
    settings = Settings(permutations=permutations_of(permutations), seed=seed)
    with progress_bars() as progress:
        result = run_demo(
            settings,
            max_tokens=max_tokens,
            device=device,
            arguments={"command": "demo", "max_tokens": max_tokens, "device": device},
            progress=progress,
        )
    finish(result, out, overwrite=overwrite, activations=not no_activations, as_json=as_json)
    if not as_json:
        print(
            "The control is model A as it was before training, with an SAE of its own: it shows what the same\n"
            "numbers are between models that share nothing but the text."
        )
