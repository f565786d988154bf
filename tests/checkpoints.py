"""Checkpoints in the layouts that no package writes, each with textbook features and reconstructions (float64)."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

D, F, K, N = 6, 20, 4, 33


@dataclass
class Written:
    """What was written where, and what it should give on ``x``."""

    path: Path
    x: np.ndarray
    features: np.ndarray
    reconstruction: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


class Arrays:
    """Encoder (d, F), decoder (F, d), biases and thresholds, and activations to encode."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.w_enc, self.w_dec = rng.normal(size=(D, F)) * 0.5, rng.normal(size=(F, D)) * 0.5
        self.b_enc, self.b_dec, self.threshold = rng.normal(size=F), rng.normal(size=D), rng.random(F) + 0.05
        self.skip = rng.normal(size=(D, D))
        self.x = rng.normal(size=(N, D)) * 2 + 0.3
        for name, value in vars(self).items():
            setattr(self, name, value.astype(np.float32))

    def z(self, x, subtract=False):
        return (x - self.b_dec * subtract).astype(np.float64) @ self.w_enc + self.b_enc

    def decoded(self, features):
        return features @ self.w_dec.astype(np.float64) + self.b_dec


def above(z, threshold):
    return np.where(z > threshold, np.maximum(z, 0), 0)


def largest(z, k=K):
    kept = z >= np.sort(z, axis=1)[:, -k, None]
    return np.maximum(z, 0) * kept


def ready(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def save(file, **tensors):
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, ready(file))


def pickled(file, **held):
    torch.save({name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in held.items()}, ready(file))


def gemma_scope(root, repository="gemma-scope-2b-pt-res", inside="layer_5/width_16k/average_l0_71"):
    a = Arrays()
    folder = root / repository / inside
    names = {"W_enc": a.w_enc, "W_dec": a.w_dec, "b_enc": a.b_enc, "b_dec": a.b_dec, "threshold": a.threshold}
    np.savez(ready(folder / "params.npz"), **names)
    x, factor = a.x.astype(np.float64), 1.0
    if "embedding" in inside:
        x, factor = x / np.sqrt(D), np.sqrt(D)
    features = above(a.z(x), a.threshold)
    return Written(folder, a.x, features, a.decoded(features) * factor, {"context_length": 1024, "bos": True})


def gemma_scope_2(root, affine=False):
    a = Arrays()
    kind, site = ("transcoder", "pre_feedforward_layernorm") if affine else ("resid_post", "")
    folder = root / f"gemma-scope-2-270m-pt/{kind}/layer_5_width_16k_l0_small"
    path = f"model.layers.5{site and '.' + site}.output"
    config = {"architecture": "jump_relu", "model_name": "google/gemma-3-270m", "hf_hook_point_in": path}
    skip = {"affine_skip_connection": a.skip} if affine else {}
    if affine:
        config |= {"affine_connection": True, "hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output"}
    names = {"w_enc": a.w_enc, "w_dec": a.w_dec, "b_enc": a.b_enc, "b_dec": a.b_dec, "threshold": a.threshold}
    save(folder / "params.safetensors", **names, **skip)
    (folder / "config.json").write_text(json.dumps(config))
    features = above(a.z(a.x), a.threshold)
    reconstruction = a.decoded(features) + (a.x.astype(np.float64) @ a.skip if affine else 0)
    out = "layers.5.post_feedforward_layernorm" if affine else None
    facts = {"site": f"layers.5{site and '.' + site}", "site_out": out, "bos": True}
    return Written(folder, a.x, features, reconstruction, facts)


def llama_scope(root, lengths=True, subtracted=False, repository="Llama3_1-8B-Base-LXR-8x"):
    a = Arrays()
    folder = root / repository / "Llama3_1-8B-Base-L15R-8x"
    norm, threshold = 7.3, 0.4
    config = {
        "d_model": D,
        "d_sae": F,
        "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post",
        "jump_relu_threshold": threshold,
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "norm_activation": "dataset-wise",
        "act_fn": "jumprelu",
        "sparsity_include_decoder_norm": lengths,
        "apply_decoder_bias_to_pre_encoder": subtracted,
    }
    names = {"encoder.weight": a.w_enc.T, "encoder.bias": a.b_enc, "decoder.weight": a.w_dec.T, "decoder.bias": a.b_dec}
    save(folder / "checkpoints/final.safetensors", **names)
    (folder / "hyperparams.json").write_text(json.dumps(config))
    s = np.sqrt(D) / norm
    z = (a.x - a.b_dec / s * subtracted).astype(np.float64) @ a.w_enc + a.b_enc / s
    gate = np.linalg.norm(a.w_dec.astype(np.float64), axis=1) if lengths else 1
    features = np.where(z * gate > threshold, z, 0)
    reconstruction = features @ a.w_dec.astype(np.float64) + a.b_dec / s
    return Written(folder, a.x, features, reconstruction, {"site": "layers.15", "context_length": 1024})


def llama_scope_r1(root):
    a = Arrays()
    folder = root / "Llama-Scope-R1-Distill/400M-Slimpajama-400M-OpenR1-Math-220k/L15R"
    hook, norm = "blocks.15.hook_resid_post", 7.3
    config = {"d_model": 5 + 1, "expansion_factor": F / D, "act_fn": "jumprelu", "hook_point_in": hook}
    config |= {"hook_point_out": hook, "norm_activation": "dataset-wise", "jump_relu_threshold": 0.0}
    names = {"encoder.weight": a.w_enc.T, "encoder.bias": a.b_enc, "decoder.weight": a.w_dec.T, "decoder.bias": a.b_dec}
    norms = {f"dataset_average_activation_norm.{hook}": np.float32(norm).reshape(())}
    save(folder / "sae_weights.safetensors", **names, **norms, log_jumprelu_threshold=np.log(a.threshold))
    (folder / "config.json").write_text(json.dumps(config))
    s = np.sqrt(D) / norm
    z = a.z(a.x * s)
    features = np.where(z * np.linalg.norm(a.w_dec.astype(np.float64), axis=1) > a.threshold, z, 0)
    return Written(folder, a.x, features, a.decoded(features) / s, {"site": "layers.15"})


def qwen_scope(root):
    a = Arrays()
    file = root / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}" / "layer7.sae.pt"
    pickled(file, W_enc=a.w_enc.T, W_dec=a.w_dec.T, b_enc=a.b_enc, b_dec=a.b_dec)
    features = largest(a.z(a.x))
    return Written(file, a.x, features, a.decoded(features), {"site": "layers.7"})


def openai(root, activation="TopK"):
    a = Arrays()
    file = root / "resid_post_mlp_v5_32k/autoencoders/8.pt"
    state = {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}
    statistics = {"stats_last_nonzero": np.zeros(F, int), "latents_mean_square": np.full(F, np.nan)}
    names = {"pre_bias": a.b_dec, "latent_bias": a.b_enc, "encoder.weight": a.w_enc.T, "decoder.weight": a.w_dec.T}
    pickled(file, **names, **statistics, **(state if activation == "TopK" else {"activation": "ReLU"}))
    x = a.x.astype(np.float64)
    mean, spread = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    if activation == "TopK":
        features = largest(a.z((x - mean) / (spread + 1e-5), subtract=True))
        reconstruction = a.decoded(features) * spread + mean
    else:
        features = np.maximum(a.z(x, subtract=True), 0)
        reconstruction = a.decoded(features)
    return Written(file, a.x, features, reconstruction, {"site": "layers.8", "context_length": 64})


def linear(root, maker="goodfire"):
    a = Arrays()
    name, end = ("Llama-3.1-8B-Instruct-SAE-l19.pth", "_linear") if maker == "goodfire" else ("R1-SAE-l37.pt", "")
    root = root / "autoencoders"
    names = {f"encoder{end}.weight": a.w_enc.T, f"encoder{end}.bias": a.b_enc}
    pickled(root / name, **names, **{f"decoder{end}.weight": a.w_dec.T, f"decoder{end}.bias": a.b_dec})
    features = np.maximum(a.z(a.x), 0)
    site = "layers.19" if maker == "goodfire" else "layers.37"
    return Written(root / name, a.x, features, a.decoded(features), {"site": site, "format": maker})


def mwhanna(root):
    a = Arrays()
    file = root / "qwen3-0.6b-transcoders-lowl0" / "layer_3.safetensors"
    save(file, W_enc=a.w_enc.T, W_dec=a.w_dec, b_enc=a.b_enc, b_dec=a.b_dec)
    (file.parent / "config.yaml").write_text("model_name: Qwen/Qwen3-0.6B\n")
    values = {"d_model": D, "d_feature": F, "batch_size": 1024}
    (file.parent / "wandb-config.yaml").write_text("".join(f"{k}:\n  value: {v}\n" for k, v in values.items()))
    features = np.maximum(a.z(a.x), 0)
    facts = {"site": "layers.3.mlp.input", "site_out": "layers.3.mlp"}
    return Written(file, a.x, features, a.decoded(features), facts)


def hook_z(root):
    a = Arrays()
    file = root / "attention" / "gpt2-small_L5_Hcat_z.pt"
    pickled(file, W_enc=a.w_enc, W_dec=a.w_dec, b_enc=a.b_enc, b_dec=a.b_dec)
    config = {"act_size": D, "dict_size": F, "act_name": "blocks.5.attn.hook_z"}
    file.with_name("gpt2-small_L5_Hcat_z_cfg.json").write_text(json.dumps(config))
    features = np.maximum(a.z(a.x, subtract=True), 0)
    return Written(file, a.x, features, a.decoded(features), {"site": "layers.5.attention.heads", "bos": True})


WRITERS = {
    "gemma scope, residual": gemma_scope,
    "gemma scope, mlp": lambda root: gemma_scope(root, "gemma-scope-9b-pt-mlp"),
    "gemma scope, attention": lambda root: gemma_scope(root, "gemma-scope-2b-it-att"),
    "gemma scope, embedding": lambda root: gemma_scope(root, inside="embedding/width_4k/average_l0_6"),
    "gemma scope, transcoder": lambda root: gemma_scope(root, "gemma-scope-2b-pt-transcoders"),
    "gemma scope 2": gemma_scope_2,
    "gemma scope 2, affine transcoder": lambda root: gemma_scope_2(root, affine=True),
    "llama scope": llama_scope,
    "llama scope, lengths off": lambda root: llama_scope(root, lengths=False),
    "llama scope, bias subtracted": lambda root: llama_scope(root, subtracted=True),
    "llama scope R1": llama_scope_r1,
    "qwen scope": qwen_scope,
    "openai": openai,
    "openai, relu": lambda root: openai(root, "ReLU"),
    "goodfire": linear,
    "deepseek": lambda root: linear(root, "deepseek"),
    "mwhanna": mwhanna,
    "hook_z": hook_z,
}
