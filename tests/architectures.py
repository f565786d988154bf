"""Real models of every architecture whose sites have names: three blocks of width 16, float64, gains far from 1."""

from dataclasses import dataclass
from typing import Any

import torch
import transformers

SIZES = {
    "vocab_size": 330,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 28,
    "max_position_embeddings": 32,
}
GROUPED = {"num_key_value_heads": 2, "head_dim": 6}
GPT2 = {"vocab_size": 330, "n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": 32}
OPT = {name: size for name, size in SIZES.items() if name != "intermediate_size"} | {"ffn_dim": 28}
FALCON = {name: size for name, size in SIZES.items() if "intermediate" not in name and "max" not in name}
T5 = {"vocab_size": 330, "d_model": 16, "d_kv": 6, "d_ff": 28, "num_layers": 3, "num_heads": 4}


@dataclass(frozen=True)
class Architecture:
    """A configuration, and what the paper or the model's own code says of its blocks."""

    config: Any
    blocks: str
    norms: tuple[str, str]
    projections: tuple[str, str]  # of the heads, of the neurons
    norms_of_output: tuple[str, str] | None = None
    order: str = "sequential"  # or parallel, or post-norm
    root_mean_square: bool = False
    gain_less_one: bool = False
    embedding: str = "embed_tokens"
    embedding_factor: float = 1.0
    norm_of_embedding: str | None = None
    final_norm: str | None = "norm"
    class_name: str = "AutoModel"


def llama(config, **changed):
    return Architecture(
        config,
        "layers",
        ("input_layernorm", "post_attention_layernorm"),
        ("self_attn.o_proj", "mlp.down_proj"),
        root_mean_square=True,
        **changed,
    )


def gemma(config):
    return llama(config, gain_less_one=True, embedding_factor=4.0)


def gemma_2(config):
    return Architecture(
        config,
        "layers",
        ("input_layernorm", "pre_feedforward_layernorm"),
        ("self_attn.o_proj", "mlp.down_proj"),
        ("post_attention_layernorm", "post_feedforward_layernorm"),
        root_mean_square=True,
        gain_less_one=True,
        embedding_factor=4.0,
    )


def opt(config, **changed):
    return Architecture(
        config,
        "decoder.layers",
        ("self_attn_layer_norm", "final_layer_norm"),
        ("self_attn.out_proj", "fc2"),
        embedding="decoder.embed_tokens",
        **changed,
    )


def neox(config, **changed):
    return Architecture(
        config,
        "layers",
        ("input_layernorm", "post_attention_layernorm"),
        ("attention.dense", "mlp.dense_4h_to_h"),
        embedding="embed_in",
        final_norm="final_layer_norm",
        **changed,
    )


def falcon(config, norms=("input_layernorm", "post_attention_layernorm"), **changed):
    return Architecture(
        config,
        "h",
        norms,
        ("self_attention.dense", "mlp.dense_4h_to_h"),
        embedding="word_embeddings",
        final_norm="ln_f",
        **changed,
    )


ARCHITECTURES = {
    "gpt_neox": neox(lambda: transformers.GPTNeoXConfig(**SIZES), order="parallel"),
    "gpt_neox sequential": neox(lambda: transformers.GPTNeoXConfig(**SIZES, use_parallel_residual=False)),
    "gpt2": Architecture(
        lambda: transformers.GPT2Config(**GPT2),
        "h",
        ("ln_1", "ln_2"),
        ("attn.c_proj", "mlp.c_proj"),
        embedding="wte",
        final_norm="ln_f",
    ),
    "gptj": Architecture(
        lambda: transformers.GPTJConfig(**GPT2, rotary_dim=4),
        "h",
        ("ln_1", "ln_1"),
        ("attn.out_proj", "mlp.fc_out"),
        order="parallel",
        embedding="wte",
        final_norm="ln_f",
    ),
    "llama": llama(lambda: transformers.LlamaConfig(**SIZES, **GROUPED)),
    "mistral": llama(lambda: transformers.MistralConfig(**SIZES, **GROUPED, sliding_window=8)),
    "qwen2": llama(lambda: transformers.Qwen2Config(**SIZES, num_key_value_heads=2)),
    "qwen3": llama(lambda: transformers.Qwen3Config(**SIZES, **GROUPED)),
    "gemma": gemma(lambda: transformers.GemmaConfig(**SIZES, **GROUPED)),
    "gemma2": gemma_2(lambda: transformers.Gemma2Config(**SIZES, **GROUPED, sliding_window=8)),
    "gemma3": gemma_2(lambda: transformers.Gemma3TextConfig(**SIZES, **GROUPED, sliding_window=8)),
    "opt": opt(lambda: transformers.OPTConfig(**OPT, word_embed_proj_dim=16), final_norm="decoder.final_layer_norm"),
    "opt post-norm": opt(
        lambda: transformers.OPTConfig(**OPT, word_embed_proj_dim=16, do_layer_norm_before=False),
        order="post-norm",
        final_norm=None,
    ),
    "bert": Architecture(
        lambda: transformers.BertConfig(**SIZES),
        "encoder.layer",
        ("attention.output.LayerNorm", "output.LayerNorm"),
        ("attention.output.dense", "output.dense"),
        order="post-norm",
        embedding="embeddings.word_embeddings",
        final_norm=None,
    ),
    "t5": Architecture(
        lambda: transformers.T5Config(**T5),
        "encoder.block",
        ("layer.0.layer_norm", "layer.1.layer_norm"),
        ("layer.0.SelfAttention.o", "layer.1.DenseReluDense.wo"),
        root_mean_square=True,
        embedding="shared",
        final_norm="encoder.final_layer_norm",
        class_name="AutoModelForTextEncoding",
    ),
    "bloom": falcon(
        lambda: transformers.BloomConfig(vocab_size=330, hidden_size=16, n_layer=3, n_head=4),
        norm_of_embedding="word_embeddings_layernorm",
    ),
    "falcon": falcon(lambda: transformers.FalconConfig(**FALCON), ("input_layernorm",) * 2, order="parallel"),
    "falcon sequential": falcon(lambda: transformers.FalconConfig(**FALCON, parallel_attn=False)),
}


def model(name, class_name=None, dtype=torch.float64):
    """A random model; its weights are large enough for every part and every gain to matter."""
    architecture = ARCHITECTURES[name]
    torch.manual_seed(0)
    made = getattr(transformers, class_name or architecture.class_name).from_config(architecture.config())
    for weights in made.parameters():
        if weights.ndim == 1:
            torch.nn.init.uniform_(weights, 0.2, 0.9)
        elif weights.shape[0] != 330:
            torch.nn.init.normal_(weights, std=0.3)
    return made.to(dtype).eval()
