"""Write tests/fixtures/llamascopium: checkpoints of its SparseAutoEncoder, and what it makes of activations.

Its dependencies collide with ours, so put the package beside our torch with the few that its models import:

    pip install --no-deps --target /tmp/llamascopium llamascopium==2.0.0b34 more-itertools cattrs attrs pymongo \
        json-repair openai tomlkit wandb pydantic-settings
    PYTHONPATH=/tmp/llamascopium python scripts/make_fixtures_llamascopium.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from llamascopium.models.sae import SAEConfig, SparseAutoEncoder
from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent / "tests" / "fixtures" / "llamascopium"
D, F, K = 6, 18, 4
IN, OUT = "blocks.3.hook_resid_post", "blocks.3.hook_mlp_out"
CASES = {
    "relu": {"act_fn": "relu"},
    "jumprelu": {"act_fn": "jumprelu"},
    "jumprelu-lengths-off": {"act_fn": "jumprelu", "sparsity_include_decoder_norm": False},
    "topk": {"act_fn": "topk", "top_k": K},
    "topk-lengths-off": {"act_fn": "topk", "top_k": K, "sparsity_include_decoder_norm": False},
    "token-wise": {"act_fn": "jumprelu", "norm_activation": "token-wise"},
    "no-decoder-bias": {"act_fn": "relu", "use_decoder_bias": False},
    "transcoder": {"act_fn": "jumprelu", "hook_point_out": OUT},
    "folded": {"act_fn": "jumprelu"},
}


def main() -> None:
    """Write one folder a case: sae_weights.safetensors, config.json, and expected.safetensors."""
    torch.manual_seed(0)
    x = torch.randn(17, D) * 2 + 0.3
    for name, settings in CASES.items():
        config = SAEConfig(
            **{"d_model": D, "expansion_factor": 3, "hook_point_in": IN, "hook_point_out": IN} | settings
        )
        sae = SparseAutoEncoder(config)
        for key, parameter in sae.named_parameters():
            parameter.data = torch.randn(parameter.shape) * 0.5 - (0.7 if "threshold" in key else 0)
        sae.set_dataset_average_activation_norm({IN: 4.7, OUT: 1.9} if config.hook_point_out == OUT else {IN: 4.7})
        folder = ROOT / name
        sae.save_pretrained(folder, fold_activation_scale=name == "folded")
        sae.cfg.save_hyperparameters(folder)
        loaded = SparseAutoEncoder.from_pretrained(str(folder))
        with torch.no_grad():
            batch = {config.hook_point_in: x}
            if config.norm_activation == "token-wise":
                scaled, factors = loaded.normalize_activations(batch, return_scale_factor=True)
                factor_out = factors[IN]
            else:
                scaled = loaded.normalize_activations(batch)
                factor_out = loaded.compute_norm_factor(x, config.hook_point_out)
            features = loaded.encode(scaled[IN])
            reconstruction = loaded.decode(features) / factor_out
        expected = {"x": x, "features": features, "reconstruction": reconstruction}
        save_file({key: tensor.contiguous() for key, tensor in expected.items()}, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
