"""Write tests/fixtures/dictionary_learning: checkpoints of every class, and what the library makes of activations.

Its dependencies collide with ours and its classes need none of them, so put the package alone beside our torch:

    pip install --no-deps --target /tmp/dictionary-learning dictionary-learning==0.1.0
    PYTHONPATH=/tmp/dictionary-learning python scripts/make_fixtures_dictionary_learning.py
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent / "tests" / "fixtures" / "dictionary_learning"
D, F, K = 6, 20, 4


def without_buffers() -> None:
    """Make the package importable without its __init__, which wants nnsight for collecting activations."""
    spec = find_spec("dictionary_learning")
    folder = next(iter(spec.submodule_search_locations))
    for name, path in (("dictionary_learning", folder), ("dictionary_learning.trainers", f"{folder}/trainers")):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [path]


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    """Draw every parameter at random: fresh biases and thresholds are zero and would hide mistakes."""
    for name, parameter in module.named_parameters():
        values = torch.randn(parameter.shape) * 0.5
        parameter.data = values.abs() if name == "threshold" else values
    return module


def main() -> None:
    """Write one folder a class: ae.pt, config.json, and expected.safetensors."""
    without_buffers()
    from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    torch.manual_seed(0)
    x = torch.randn(17, D) * 2 + 0.3
    makers = {
        AutoEncoder: lambda: AutoEncoder(D, F),
        AutoEncoderNew: lambda: AutoEncoderNew(D, F),
        GatedAutoEncoder: lambda: GatedAutoEncoder(D, F),
        JumpReluAutoEncoder: lambda: JumpReluAutoEncoder(D, F),
        AutoEncoderTopK: lambda: AutoEncoderTopK(D, F, K),
        BatchTopKSAE: lambda: BatchTopKSAE(D, F, K),
        MatryoshkaBatchTopKSAE: lambda: MatryoshkaBatchTopKSAE(D, F, K, [5, 15]),
    }
    for kind, make in makers.items():
        dictionary = drawn(make())
        ranked = "TopK" in kind.__name__
        if ranked:
            dictionary.threshold.fill_(0.7)
        folder = ROOT / kind.__name__
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(dictionary.state_dict(), folder / "ae.pt")
        trainer = {"dict_class": kind.__name__, "activation_dim": D, "dict_size": F, "layer": 3, "lm_name": "m"}
        trainer |= {"submodule_name": "resid_post_layer_3"} | ({"k": K} if ranked else {})
        buffer = {"d_submodule": D, "io": "out", "ctx_len": 128, "remove_bos": True}
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": buffer}) + "\n")
        with torch.no_grad():  # as its load_dictionary loads each of them
            loaded = kind.from_pretrained(folder / "ae.pt", **({"k": K} if ranked else {}))
            features = loaded.encode(x)
            reconstruction = loaded.decode(features)
        expected = {"x": x, "features": features, "reconstruction": reconstruction}
        save_file({name: tensor.contiguous() for name, tensor in expected.items()}, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
