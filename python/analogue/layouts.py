"""Layouts: where the blocks of each architecture have their parts, and how the parts and norms follow one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# By path inside a block; the first that a block has is taken. What writes the attention's and the MLP's share of the
# residual stream: where the module called so adds the stream itself (BERT, BLOOM), it is the projection inside.
OUTPUTS = {
    "attention": (
        "attention.output.dense",
        "self_attention.dense",
        "layer.0.SelfAttention",
        "attention",
        "self_attn",
        "attn",
    ),
    "mlp": ("mlp.dense_4h_to_h", "layer.1.DenseReluDense", "mlp", "output.dense", "ffn", "fc2"),
}
INPUTS = {
    "attention": ("layer.0.SelfAttention", "attention", "self_attention", "self_attn", "attn"),
    "mlp": ("layer.1.DenseReluDense", "mlp", "intermediate.dense", "ffn", "fc1"),
}
# The projections back to the residual stream, which read the concatenated heads and the MLP's neurons.
PROJECTIONS = {
    "attention.heads": (
        "attention.output.dense",
        "attention.dense",
        "self_attention.dense",
        "layer.0.SelfAttention.o",
        "self_attn.o_proj",
        "self_attn.out_proj",
        "attn.c_proj",
        "attn.out_proj",
    ),
    "mlp.neurons": (
        "mlp.dense_4h_to_h",
        "layer.1.DenseReluDense.wo",
        "mlp.down_proj",
        "mlp.c_proj",
        "mlp.fc_out",
        "output.dense",
        "fc2",
    ),
}


@dataclass(frozen=True)
class Layout:
    """How a block of one architecture is put together, as far as paths alone do not say.

    Attributes
    ----------
    norms : mapping of str to str
        The norms of ``attention`` and ``mlp``, by path in the block: in front of them, or behind the sum in
        ``post_norm`` blocks.
    norms_of_output : mapping of str to str
        Norms between what attention and MLP give and the residual stream.
    embedding : str or None
        The embedding of tokens, by path in the base model, where positions are added to it; else None: it is what the
        first block gets.
    gain_less_one : bool
        Whether norms multiply by 1 + weight.
    parallel, post_norm : callable
        Whether attention and MLP read the same residual stream, and whether norms stand behind the sums, by config.
    """

    norms: Mapping[str, str]
    norms_of_output: Mapping[str, str] | None = None
    embedding: str | None = None
    gain_less_one: bool = False
    parallel: Callable[[Any], bool] = lambda _: False
    post_norm: Callable[[Any], bool] = lambda _: False


def _norms(attention: str, mlp: str) -> dict[str, str]:
    return {"attention": attention, "mlp": mlp}


_LLAMA = Layout(_norms("input_layernorm", "post_attention_layernorm"))
_GEMMA = Layout(_LLAMA.norms, gain_less_one=True)
_GEMMA_2 = Layout(
    _norms("input_layernorm", "pre_feedforward_layernorm"),
    _norms("post_attention_layernorm", "post_feedforward_layernorm"),
    gain_less_one=True,
)

LAYOUTS = {
    "bert": Layout(
        _norms("attention.output.LayerNorm", "output.LayerNorm"),
        embedding="embeddings.word_embeddings",
        post_norm=lambda _: True,
    ),
    "bloom": _LLAMA,
    "falcon": Layout(
        _LLAMA.norms,
        parallel=lambda config: config.new_decoder_architecture or config.parallel_attn,
    ),
    "gemma": _GEMMA,
    "gemma2": _GEMMA_2,
    "gemma3_text": _GEMMA_2,
    "gpt2": Layout(_norms("ln_1", "ln_2"), embedding="wte"),
    "gpt_neox": Layout(_LLAMA.norms, parallel=lambda config: config.use_parallel_residual),
    "gptj": Layout({"attention": "ln_1"}, parallel=lambda _: True),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "opt": Layout(
        _norms("self_attn_layer_norm", "final_layer_norm"),
        embedding="decoder.embed_tokens",
        post_norm=lambda config: not config.do_layer_norm_before,
    ),
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "t5": Layout(_norms("layer.0.layer_norm", "layer.1.layer_norm")),
}
