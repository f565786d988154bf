"""Dictionaries against eai-sparsify and sae-lens themselves, on checkpoints that they wrote."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from analogue import FeatureActivations
from analogue.dictionaries import load_dictionary, neurons
from analogue.dictionaries.autoencoder import JumpReLU, ReLU, SparseAutoencoder, TopK

D, F, K = 12, 63, 7


def inputs(n=257, d=D, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 2 + 0.3


def randomised(module, seed=0):
    """Every parameter drawn at random: fresh biases and thresholds are zero and would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator) * 0.5
            parameter.copy_(drawn.abs() if name == "threshold" else drawn)
    return module


def spoilt(tensor, value):
    tensor = tensor.clone()
    tensor.view(-1)[5] = value
    return tensor


def dense(csr, width=F):
    return FeatureActivations.from_csr(*csr, width).to_dense()


def same_features(dictionary, x, expected):
    """Dense and sparse features are the library's: the same indices, values to 1e-5."""
    expected = expected.detach().float().numpy()
    indptr, indices, values = dictionary.encode_sparse(x)
    assert (indptr.dtype, indices.dtype, values.dtype) == (np.int64, np.int32, np.float32)
    np.testing.assert_array_equal(indices, np.nonzero(expected)[1])
    np.testing.assert_array_equal(np.diff(indptr), (expected != 0).sum(1))
    np.testing.assert_allclose(values, expected[expected != 0], rtol=1e-5, atol=1e-5)
    encoded = dictionary.encode(x)
    assert encoded.dtype == torch.float32
    np.testing.assert_array_equal(encoded.numpy(), dense((indptr, indices, values), expected.shape[1]))


# --- sparsify --------------------------------------------------------------------------------------------------------


def sparse_coder(folder, dtype=torch.float32, d=D, **settings):
    from sparsify import SparseCoder, SparseCoderConfig

    coder = randomised(SparseCoder(d, SparseCoderConfig(**{"num_latents": F, "k": K} | settings))).to(dtype)
    coder.save_to_disk(folder)
    return coder


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_latents": 0, "expansion_factor": 5},
        {"multi_topk": True},
        {"k": 1},
        {"activation": "groupmax"},
        {"activation": "groupmax", "k": 1},
        {"activation": "groupmax", "k": F},
    ],
)
def test_sparsify_features_are_those_of_the_library(tmp_path, dtype, settings):
    coder = sparse_coder(tmp_path / "layers.2", dtype, **settings).float()
    dictionary = load_dictionary(tmp_path / "layers.2")
    x = inputs()
    codes = coder.encode(x)
    expected = torch.zeros(len(x), coder.num_latents).scatter_(1, codes.top_indices, codes.top_acts)
    same_features(dictionary, x, expected)
    reconstructed = coder.decode(codes.top_acts, codes.top_indices).detach()
    torch.testing.assert_close(dictionary.decode(dictionary.encode(x)), reconstructed, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dictionary.w_dec, coder.W_dec.detach(), rtol=0, atol=0)
    same_features(load_dictionary(tmp_path / "layers.2", activation="pre"), x, codes.pre_acts)


@pytest.mark.parametrize("skip_connection", [False, True])
@pytest.mark.parametrize("activation", ["topk", "groupmax"])
def test_transcoders_of_sparsify_read_the_input_of_their_module(tmp_path, activation, skip_connection):
    coder = sparse_coder(
        tmp_path / "layers.2.mlp", activation=activation, transcode=True, skip_connection=skip_connection
    )
    dictionary, x = load_dictionary(tmp_path), inputs()
    codes = coder.encode(x)
    same_features(dictionary, x, torch.zeros(257, F).scatter_(1, codes.top_indices, codes.top_acts))
    expected = coder(x, y=x).sae_out.detach()
    torch.testing.assert_close(dictionary.reconstruct(x), expected, rtol=1e-5, atol=1e-5)
    assert (dictionary.site, dictionary.site_out) == ("layers.2.mlp.input", "layers.2.mlp")
    assert load_dictionary(tmp_path, site="layers.2.mlp.input").path == tmp_path / "layers.2.mlp"


def test_signed_coders_of_2024_keep_the_largest_of_either_sign(tmp_path):
    coder = sparse_coder(tmp_path / "layers.0")
    edit_config(tmp_path / "layers.0" / "cfg.json", {"signed": True})
    x = inputs()
    z = torch.nn.functional.linear(x - coder.b_dec, coder.encoder.weight, coder.encoder.bias).detach()
    kept = z.abs() >= z.abs().sort(dim=1).values[:, -K:][:, :1]
    assert (z[kept] < 0).any()
    same_features(load_dictionary(tmp_path / "layers.0"), x, z * kept)


def test_a_token_with_fewer_positive_latents_than_k_has_fewer_entries(tmp_path):
    coder = sparse_coder(tmp_path / "layers.0")
    coder.encoder.bias.data -= 6
    coder.save_to_disk(tmp_path / "layers.0")
    indptr, _, values = load_dictionary(tmp_path / "layers.0").encode_sparse(inputs())
    assert (values > 0).all()
    assert np.diff(indptr).min() < K


def test_old_sparsify_configs_load(tmp_path):
    coder = sparse_coder(tmp_path / "layers.0")
    config = {"expansion_factor": 4, "normalize_decoder": True, "num_latents": F, "k": K, "signed": False, "d_in": D}
    (tmp_path / "layers.0" / "cfg.json").write_text(json.dumps(config | {"from_the_future": [1]}))
    codes = coder.encode(inputs())
    expected = torch.zeros(257, F).scatter_(1, codes.top_indices, codes.top_acts)
    same_features(load_dictionary(tmp_path / "layers.0"), inputs(), expected)


# --- SAELens ---------------------------------------------------------------------------------------------------------


def sae(folder, architecture, hook="blocks.3.hook_resid_pre", dtype="float32", metadata=(), **settings):
    """An SAE that the library wrote, and the file's own numbers read back by the library as float32."""
    from sae_lens import SAE

    extras = {"k": K} if "topk" in architecture else {}
    extras |= {"apply_b_dec_to_input": False} if "transcoder" in architecture else {}
    about = {"hook_name": hook, "context_size": 128, "model_name": "m", "sae_lens_version": "6.54.12"} | dict(metadata)
    config = {"architecture": architecture, "d_in": D, "d_sae": F, "dtype": dtype, "metadata": about}
    written = SAE.from_dict(config | extras | settings)
    randomised(written).save_model(folder)
    return SAE.load_from_disk(folder, dtype="float32")


SAES = {
    "standard": ("standard", {}),
    "standard, input as it is": ("standard", {"apply_b_dec_to_input": False}),
    "jumprelu": ("jumprelu", {}),
    "jumprelu, input as it is": ("jumprelu", {"apply_b_dec_to_input": False}),
    "topk": ("topk", {}),
    "topk, decoder norms": ("topk", {"rescale_acts_by_decoder_norm": True}),
    "abstopk": ("abstopk", {}),
    "abstopk, decoder norms": ("abstopk", {"rescale_acts_by_decoder_norm": True}),
    "gated": ("gated", {}),
    "gated, input as it is": ("gated", {"apply_b_dec_to_input": False}),
    "constant norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "layer norm": ("topk", {"normalize_activations": "layer_norm"}),
    "transcoder": ("transcoder", {"d_out": 9}),
    "transcoder, skip": ("skip_transcoder", {"d_out": 9}),
    "transcoder, jumprelu": ("jumprelu_transcoder", {"d_out": 9}),
    "transcoder, jumprelu, skip": ("jumprelu_skip_transcoder", {"d_out": 9}),
}


def test_features_a_token_are_promised_by_k_or_by_what_was_measured(tmp_path):
    sae(tmp_path / "topk", "topk")
    sae(tmp_path / "standard", "standard")
    assert load_dictionary(tmp_path / "topk").promised_l0 == K
    assert load_dictionary(tmp_path / "standard").promised_l0 is None
    rates = torch.linspace(0.01, 0.2, F)
    save_file({"sparsity": torch.log10(rates + 1e-10)}, tmp_path / "standard" / "sparsity.safetensors")
    assert load_dictionary(tmp_path / "standard").promised_l0 == pytest.approx(float(rates.sum()), rel=1e-5)
    save_file({"sparsity": torch.zeros(F + 1)}, tmp_path / "standard" / "sparsity.safetensors")
    with pytest.raises(ValueError, match=r"sparsity\.safetensors: tensor sparsity must have shape"):
        load_dictionary(tmp_path / "standard")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("case", SAES)
def test_saelens_features_are_those_of_the_library(tmp_path, case, dtype):
    architecture, settings = SAES[case]
    expected = sae(tmp_path, architecture, dtype=dtype, **settings)
    dictionary = load_dictionary(tmp_path)
    x = inputs()
    features = expected.encode(x).detach()
    same_features(dictionary, x, features)
    reconstruction = expected(x).detach()
    torch.testing.assert_close(dictionary.decode(features, x), reconstruction, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dictionary.reconstruct(x), reconstruction, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dictionary.w_dec, expected.W_dec.detach(), rtol=0, atol=0)
    assert (dictionary.site, dictionary.context_length, dictionary.format) == ("layers.2", 128, "saelens")


@pytest.mark.parametrize("case", ["constant norm", "layer norm", "transcoder, skip"])
def test_reconstructions_that_need_the_input_ask_for_it(tmp_path, case):
    architecture, settings = SAES[case]
    sae(tmp_path, architecture, **settings)
    dictionary, x = load_dictionary(tmp_path), inputs()
    with pytest.raises(ValueError, match=r"x must be the activations that were encoded, got None: (the norm|a skip)"):
        dictionary.decode(dictionary.encode(x))
    with pytest.raises(ValueError, match="x must have the 257 rows of features, got 256"):
        dictionary.decode(dictionary.encode(x), x[1:])


def test_tokens_of_zeros_are_encoded_and_reconstructed_under_every_normalisation(tmp_path):
    for kind in ("constant_norm_rescale", "layer_norm"):
        sae(tmp_path / kind, "standard", normalize_activations=kind)
        dictionary, x = load_dictionary(tmp_path / kind), torch.zeros(3, D)
        assert dictionary.encode(x).isfinite().all()
        torch.testing.assert_close(dictionary.reconstruct(x), x, rtol=0, atol=0)


def test_heads_are_flat_where_the_library_wants_them_apart(tmp_path):
    settings = {"hook": "blocks.3.attn.hook_z", "reshape_activations": "hook_z"}
    expected = sae(tmp_path, "standard", **settings)
    dictionary, x = load_dictionary(tmp_path), inputs()
    heads = x.view(-1, 3, D // 3)
    same_features(dictionary, x, expected.encode(heads))
    torch.testing.assert_close(dictionary.reconstruct(x), expected(heads).flatten(1).detach(), rtol=1e-5, atol=1e-5)
    assert dictionary.site == "layers.3.attention.heads"


@pytest.mark.filterwarnings(r"ignore:\s*This SAE has non-empty model_from_pretrained_kwargs")
def test_residual_streams_are_centred_where_the_model_was(tmp_path):
    kwargs = {"center_writing_weights": True}
    expected = sae(tmp_path, "standard", metadata={"model_from_pretrained_kwargs": kwargs, "prepend_bos": False})
    dictionary, x = load_dictionary(tmp_path), inputs()
    centred = x - x.mean(dim=1, keepdim=True)
    assert (dictionary.centred, dictionary.bos) == (True, False)
    same_features(dictionary, x, expected.encode(centred))
    torch.testing.assert_close(dictionary.encode(centred), dictionary.encode(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dictionary.reconstruct(x), expected(centred).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("factor", [None, 0.37])
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk", "topk", "jumprelu"])
def test_training_checkpoints_load_as_what_they_would_have_been_saved_as(tmp_path, architecture, rescaled, factor):
    from sae_lens import SAE, TrainingSAE

    extras = {} if architecture == "jumprelu" else {"k": K, "rescale_acts_by_decoder_norm": rescaled}
    extras |= {"matryoshka_widths": [20, F]} if "matryoshka" in architecture else {}
    norm = "none" if factor is None else "expected_average_only_in"
    config = {"architecture": architecture, "d_in": D, "d_sae": F, "normalize_activations": norm}
    trained = randomised(TrainingSAE.from_dict(config | extras | {"metadata": {"hook_name": None}}))
    if "batchtopk" in architecture:
        trained.topk_threshold.fill_(0.8)
    trained.save_model(tmp_path / "checkpoint")
    if factor is not None:
        (tmp_path / "checkpoint/activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
        trained.fold_activation_norm_scaling_factor(factor)
    trained.save_inference_model(tmp_path / "final")
    expected, x = SAE.load_from_disk(tmp_path / "final"), inputs()
    for folder in ("checkpoint", "final"):
        dictionary = load_dictionary(tmp_path / folder)
        same_features(dictionary, x, expected.encode(x))
        torch.testing.assert_close(dictionary.reconstruct(x), expected(x).detach(), rtol=1e-4, atol=1e-4)


def test_a_factor_in_the_config_is_folded(tmp_path):
    expected = sae(tmp_path, "standard", normalize_activations="expected_average_only_in")
    edit_config(tmp_path / "cfg.json", {"norm_scaling_factor": 0.37})
    expected.fold_activation_norm_scaling_factor(0.37)
    same_features(load_dictionary(tmp_path), inputs(), expected.encode(inputs()))


@pytest.mark.parametrize("case", SAES)
def test_saelens_pre_activations_are_rectified_only(tmp_path, case):
    architecture, settings = SAES[case]
    expected = sae(tmp_path, architecture, **settings)
    seen = []
    expected.hook_sae_acts_pre.register_forward_hook(lambda module, args, out: seen.append(out))
    x = inputs()
    expected.encode(x)
    z = seen[0] * (expected.W_dec.norm(dim=1) if "norms" in case else 1)
    same_features(load_dictionary(tmp_path, activation="pre"), x, z.relu())


OLD = {  # by architecture, and what the flat config says of it
    "standard": ("standard", {"architecture": "standard", "activation_fn_str": "relu"}),
    "standard, oldest names": ("standard", {"hook_point": "blocks.3.hook_resid_pre"}),
    "standard, input as it is": ("standard", {"apply_b_dec_to_input": False}),
    "topk by its function": ("topk", {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
    "topk, newer name": ("topk", {"activation_fn": "topk", "activation_fn_kwargs": {"k": K}}),
    "jumprelu": ("jumprelu", {"architecture": "jumprelu", "activation_fn_str": "relu"}),
    "gated": ("gated", {"architecture": "gated", "activation_fn_str": "relu"}),
    "normalisation as a flag": ("standard", {"normalize_activations": False}),
    "normalisation as null": ("standard", {"normalize_activations": None}),
}


def old_sae(folder, architecture, flat):
    """An SAE whose config is written as SAELens 3 did, read back by the library."""
    from sae_lens import SAE

    sae(folder, architecture)
    config = {"d_in": D, "d_sae": F, "dtype": "torch.float32", "device": "cpu", "model_name": "m", "context_size": 128}
    hook = {} if "hook_point" in flat else {"hook_name": "blocks.3.hook_resid_pre", "hook_layer": 3}
    (folder / "cfg.json").write_text(json.dumps(config | hook | flat))
    return SAE.load_from_disk(folder)


@pytest.mark.parametrize("case", OLD)
def test_configs_before_version_6_are_read_as_the_library_reads_them(tmp_path, case):
    architecture, flat = OLD[case]
    expected = old_sae(tmp_path, architecture, flat)
    dictionary, x = load_dictionary(tmp_path), inputs()
    same_features(dictionary, x, expected.encode(x))
    assert (dictionary.site, dictionary.context_length) == ("layers.2", 128)


def test_a_scaling_factor_that_scales_nothing_is_accepted(tmp_path):
    expected = old_sae(tmp_path, "standard", {"finetuning_scaling_factor": False})
    rewrite(tmp_path / "sae_weights.safetensors", scaling_factor=torch.ones(F))
    same_features(load_dictionary(tmp_path), inputs(), expected.encode(inputs()))


def test_an_input_factor_left_beside_a_training_checkpoint_is_folded(tmp_path):
    expected = sae(tmp_path, "jumprelu", normalize_activations="expected_average_only_in")
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.37, "has_whitening": false}')
    expected.fold_activation_norm_scaling_factor(0.37)
    dictionary, x = load_dictionary(tmp_path), inputs()
    features = expected.encode(x).detach()
    same_features(dictionary, x, features)
    torch.testing.assert_close(dictionary.decode(features), expected.decode(features).detach(), rtol=1e-5, atol=1e-5)


def test_thresholds_kept_as_logarithms_are_exponentiated(tmp_path):
    expected = sae(tmp_path, "jumprelu")
    rewrite(tmp_path / "sae_weights.safetensors", threshold=None, log_threshold=expected.threshold.detach().log())
    same_features(load_dictionary(tmp_path), inputs(), expected.encode(inputs()))


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("blocks.3.hook_resid_post", "layers.3"),
        ("blocks.3.hook_resid_pre", "layers.2"),
        ("blocks.11.hook_mlp_out", "layers.11.mlp.written"),
        ("blocks.0.hook_attn_out", "layers.0.attention.written"),
        ("blocks.0.hook_resid_pre", "layers.0.input"),
        ("blocks.4.hook_resid_mid", "layers.4.middle"),
        ("blocks.4.mlp.hook_post", "layers.4.mlp.neurons"),
    ],
)
def test_transformerlens_hooks_become_module_paths(tmp_path, hook, site):
    sae(tmp_path, "standard", hook=hook)
    assert load_dictionary(tmp_path).site == site


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("model.layers.5", "layers.5"),
        ("model.layers.5.output", "layers.5"),
        ("h.2.mlp", "layers.2.mlp"),
        ("model.layers.2.self_attn.o_proj.input", "layers.2.self_attn.o_proj.input"),
    ],
)
def test_a_module_path_in_the_metadata_goes_before_the_hook(tmp_path, name, site):
    sae(tmp_path, "standard", hook="blocks.1.hook_mlp_in", metadata={"hf_hook_name": name})
    assert load_dictionary(tmp_path).site == site


def test_a_checkpoint_without_a_hook_has_no_site_until_one_is_given(tmp_path):
    sae(tmp_path, "standard", hook=None)
    assert load_dictionary(tmp_path).site is None
    assert load_dictionary(tmp_path, site="layers.4").site == "layers.4"


# --- what every dictionary does --------------------------------------------------------------------------------------


def autoencoder(nonlinearity, d=D, width=F, **extras):
    generator = torch.Generator().manual_seed(1)
    w_enc, w_dec = torch.randn(2, width, d, generator=generator)
    b_enc, b_dec = torch.randn(width, generator=generator), torch.randn(d, generator=generator)
    settings = {"w_enc": w_enc, "b_enc": b_enc, "b_pre": b_dec, "w_dec": w_dec, "b_dec": b_dec} | extras
    return SparseAutoencoder(format="sparsify", nonlinearity=nonlinearity, **settings)


@given(
    st.sampled_from(["topk", "jumprelu", "relu"]),
    st.integers(0, 9),
    st.integers(1, 9),
    st.integers(1, 20),
    st.integers(0, 99),
)
def test_sparse_and_dense_features_agree_and_follow_the_formula(kind, n, d, width, seed):
    thresholds = torch.randn(width, generator=torch.Generator().manual_seed(seed))
    k = 1 + seed % width
    nonlinearity = {"topk": TopK(k), "jumprelu": JumpReLU(thresholds), "relu": ReLU()}[kind]
    dictionary, x = autoencoder(nonlinearity, d, width), inputs(n, d, seed)
    z = (x.double() - dictionary.b_pre) @ dictionary.w_enc.double().T + dictionary.b_enc
    kept = {
        "topk": z >= z.sort(dim=1, descending=True).values[:, k - 1 : k],
        "jumprelu": z > thresholds,
        "relu": z > 0,
    }[kind]
    features = dictionary.encode(x)
    np.testing.assert_allclose(features.numpy(), (z.clamp(min=0) * kept).numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(dense(dictionary.encode_sparse(x), width), features.numpy())


def test_long_inputs_are_encoded_in_blocks_that_fit_together(monkeypatch):
    dictionary, x = autoencoder(TopK(K)), inputs(257)
    whole = dictionary.encode_sparse(x)
    monkeypatch.setattr("analogue.dictionaries.base._BLOCK_CELLS", 10 * F)
    for together, apart in zip(whole, dictionary.encode_sparse(x), strict=True):
        np.testing.assert_allclose(apart, together, rtol=1e-6)


@pytest.mark.parametrize("nonlinearity", [TopK(K), ReLU(), JumpReLU(torch.full((F,), 0.5))])
def test_a_callers_autocast_and_gradients_do_not_reach_the_arithmetic(nonlinearity):
    dictionary, x = autoencoder(nonlinearity), inputs().requires_grad_()
    expected = dictionary.encode(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = dictionary.encode(x)
        decoded = dictionary.decode(features)
    assert not features.requires_grad
    torch.testing.assert_close(features, expected, rtol=0, atol=0)
    torch.testing.assert_close(decoded, dictionary.decode(expected), rtol=0, atol=0)


def test_activations_of_any_floating_dtype_are_encoded_as_float32():
    dictionary, x = autoencoder(TopK(K)), inputs().bfloat16()
    torch.testing.assert_close(dictionary.encode(x), dictionary.encode(x.float()), rtol=0, atol=0)


def test_finite_activations_whose_sum_overflows_are_encoded():
    x = torch.zeros(2, D)
    x[:, 0] = 3e38
    dictionary = autoencoder(TopK(1), w_enc=torch.eye(D).repeat(6, 1)[:F] * 1e-3, b_pre=None)
    assert dictionary.encode(x).isfinite().all()


def test_a_decoder_row_of_length_zero_leaves_no_nan():
    scale = torch.ones(F)
    scale[3] = 0
    dictionary = autoencoder(TopK(F), scale=scale)
    assert dictionary.decode(dictionary.encode(inputs())).isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("nonlinearity", [TopK(K), ReLU(), JumpReLU(torch.full((F,), 0.5))])
def test_a_dictionary_on_the_gpu_gives_the_features_of_the_cpu(nonlinearity):
    dictionary, x = autoencoder(nonlinearity), inputs()
    moved = dictionary.to("cuda")
    assert moved.w_enc.is_cuda
    assert moved.encode(x).is_cuda
    np.testing.assert_allclose(dense(moved.encode_sparse(x)), dictionary.encode(x).numpy(), rtol=1e-4, atol=1e-4)


def test_moving_keeps_everything():
    dictionary = autoencoder(JumpReLU(torch.full((F,), 0.5)))
    moved = dictionary.to("meta")
    assert {moved.w_enc.device.type, moved.b_dec.device.type, moved.nonlinearity.threshold.device.type} == {"meta"}
    assert (moved.format, moved.n_features) == (dictionary.format, F)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(3, D + 1), ValueError, rf"x must have shape \(tokens, {D}\), got \(3, {D + 1}\)"),
        (torch.zeros(D), ValueError, rf"x must have shape \(tokens, {D}\), got \({D},\)"),
        (torch.zeros(2, 3, D), ValueError, "x must have shape"),
        (torch.full((3, D), torch.nan), ValueError, f"x must be finite, got {3 * D} NaN or infinite"),
        (spoilt(torch.full((3, D), 3e38), torch.inf), ValueError, "x must be finite, got 1 NaN or infinite"),
        (np.zeros((3, D)), TypeError, "x must be a torch tensor, got ndarray"),
    ],
)
def test_bad_activations_are_refused_in_one_sentence(x, error, words):
    dictionary = autoencoder(TopK(K))
    for encode in (dictionary.encode, dictionary.encode_sparse):
        with pytest.raises(error, match=words):
            encode(x)


def test_features_of_another_width_are_not_decoded():
    with pytest.raises(ValueError, match=rf"features must have shape \(tokens, {F}\), got \(2, {F - 1}\)"):
        autoencoder(TopK(K)).decode(torch.zeros(2, F - 1))


# --- neurons ---------------------------------------------------------------------------------------------------------


def test_neurons_are_the_activations_of_either_sign():
    dictionary, x = neurons(D, "layers.1"), inputs()
    x[:, 4] = 0
    torch.testing.assert_close(dictionary.encode(x), x, rtol=0, atol=0)
    np.testing.assert_array_equal(dense(dictionary.encode_sparse(x), D), x.numpy())
    assert (dictionary.encode_sparse(x)[1] != 4).all()
    torch.testing.assert_close(dictionary.decode(x), x, rtol=0, atol=0)
    assert (dictionary.w_dec, dictionary.sha256, dictionary.path, dictionary.site) == (None, None, None, "layers.1")
    assert (dictionary.n_features, dictionary.d_in, dictionary.format) == (D, D, "neurons")


def test_neurons_inside_an_mlp_carry_the_rows_of_the_output_projection():
    rows = torch.randn(D, 5).half()
    dictionary = neurons(D, "layers.1.mlp.act", w_dec=rows)
    torch.testing.assert_close(dictionary.w_dec, rows.float(), rtol=0, atol=0)
    assert dictionary.to("meta").w_dec.is_meta


@pytest.mark.parametrize(
    ("d", "w_dec", "error", "words"),
    [
        (0, None, ValueError, "d must be at least 1, got 0"),
        (2.0, None, TypeError, "d must be an integer"),
        (3, torch.zeros(2, 3), ValueError, r"one row for each of the 3 neurons, got shape \(2, 3\)"),
        (2, torch.full((2, 3), torch.inf), ValueError, "w_dec must be finite"),
        (2, np.zeros((2, 3)), TypeError, "w_dec must be a torch tensor, got ndarray"),
    ],
)
def test_bad_neurons_are_refused_in_one_sentence(d, w_dec, error, words):
    with pytest.raises(error, match=words):
        neurons(d, "layers.1", w_dec)


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    for name in ("layers.2", "layers.10", "layers.2.mlp"):
        sparse_coder(root / name)
    (root / "config.json").write_text('{"ctx_len": 2048, "batch_size": 8}')
    return root


def test_a_site_picks_a_hook_folder_of_a_repository(repository):
    dictionary = load_dictionary(str(repository), site="layers.2.mlp")
    assert (dictionary.site, dictionary.path) == ("layers.2.mlp", repository / "layers.2.mlp")
    assert dictionary.context_length == 2048
    assert dictionary.sha256 is not None
    assert len(dictionary.sha256) == 64


def test_a_hook_folder_takes_any_site(repository):
    assert load_dictionary(repository / "layers.2").site == "layers.2"
    assert load_dictionary(repository / "layers.2", site="layers.2").site == "layers.2"
    assert load_dictionary(repository / "layers.2", site="layers.7").site == "layers.7"


def test_an_unknown_or_unnamed_site_lists_the_sites_there_are(repository):
    with pytest.raises(
        ValueError, match=r"site 'layers.3' is not in .*the sites there are layers.2, layers.2.mlp, layers.10$"
    ):
        load_dictionary(repository, site="layers.3")
    with pytest.raises(
        ValueError, match=r"several dictionaries; site must be one of layers.2, layers.2.mlp, layers.10$"
    ):
        load_dictionary(repository)


@pytest.mark.parametrize("inside", ["layers.4", "best/layers.4/layers.4", "layers.4/seed0"])
def test_one_hook_folder_needs_no_site(tmp_path, inside):
    sparse_coder(tmp_path / inside)
    for given_site in (None, "layers.4"):
        dictionary = load_dictionary(tmp_path, site=given_site)
        assert (dictionary.site, dictionary.path) == ("layers.4", tmp_path / inside)


def test_the_last_checkpoint_of_a_run_goes_before_its_best_and_seeds_are_told_apart(tmp_path):
    for inside in ("layers.4", "best/layers.4/layers.4", "layers.5/seed0", "layers.5/seed1"):
        sparse_coder(tmp_path / inside)
    assert load_dictionary(tmp_path, site="layers.4").path == tmp_path / "layers.4"
    assert load_dictionary(tmp_path / "best", site="layers.4").path == tmp_path / "best/layers.4/layers.4"
    with pytest.raises(ValueError, match=r"site 'layers.5' is in several folders.*layers.5/seed0, .*layers.5/seed1"):
        load_dictionary(tmp_path, site="layers.5")
    assert load_dictionary(tmp_path / "layers.5/seed1").site == "layers.5"


def test_saelens_folders_of_a_repository_are_found_by_the_site_in_their_configs(tmp_path):
    sae(tmp_path / "res", "standard", hook="blocks.1.hook_resid_post")
    sae(tmp_path / "mlp", "standard", hook="blocks.1.hook_mlp_out")
    sae(tmp_path / "odd", "standard", hook="blocks.1.ln1.hook_scale")
    assert load_dictionary(tmp_path, site="layers.1.mlp.written").path == tmp_path / "mlp"
    with pytest.raises(ValueError, match=r"the sites there are layers.1, layers.1.mlp.written, odd \(no site known\)"):
        load_dictionary(tmp_path, site="layers.2")


def test_paths_without_a_checkpoint_are_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"path .*nowhere does not exist; wanted a folder with sae.safetensors \(spars"
    ):
        load_dictionary(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no file; wanted"):
        load_dictionary(tmp_path)
    with pytest.raises(ValueError, match="activation must be one of post, pre, got 'both'"):
        load_dictionary(tmp_path, activation="both")
    sparse_coder(tmp_path / "layers.0")
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(FileNotFoundError, match=r"notes.txt holds no dictionary but notes.txt; wanted"):
        load_dictionary(tmp_path / "notes.txt")
    assert load_dictionary(tmp_path / "layers.0" / "sae.safetensors").site == "layers.0"
    (tmp_path / "layers.0" / "sae_weights.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds both sae.safetensors and sae_weights.safetensors"):
        load_dictionary(tmp_path / "layers.0")


def test_nothing_heavy_is_imported_before_a_dictionary_is_loaded():
    code = (
        "import sys, analogue.dictionaries as d; d.load_dictionary; print({'torch', 'safetensors'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- malformed checkpoints -------------------------------------------------------------------------------------------


def rewrite(file, **tensors):
    """Replace tensors of a safetensors file; None leaves one out."""
    held = {name: tensor.clone() for name, tensor in load_file(file).items()} | tensors
    file.unlink()  # the library may still have the old one mapped
    save_file({name: tensor for name, tensor in held.items() if tensor is not None}, file)


MALFORMED_SPARSIFY = {
    "d_in missing": ({"d_in": None}, {}, r"cfg.json: d_in is missing; wanted an integer"),
    "d_in text": ({"d_in": "12"}, {}, r"cfg.json: d_in must be an integer, got '12'"),
    "d_in true": ({"d_in": True}, {}, r"cfg.json: d_in must be an integer, got True"),
    "k zero": ({"k": 0}, {}, r"cfg.json: k must be at least 1, got 0"),
    "k fraction": ({"k": 2.5}, {}, r"cfg.json: k must be an integer, got 2.5"),
    "k too large": ({"k": F + 1}, {}, rf"cfg.json: k must be at most the number of latents, {F}, got {F + 1}"),
    "no width": ({"num_latents": 0, "expansion_factor": None}, {}, r"cfg.json: expansion_factor is missing"),
    "negative width": ({"num_latents": -1}, {}, r"cfg.json: num_latents must be at least 0, got -1"),
    "groupmax": (
        {"activation": "groupmax", "k": 8},
        {},
        r"cfg.json: k must divide the number of latents, 63, for groupmax, got 8",
    ),
    "odd activation": ({"activation": ["topk"]}, {}, r"cfg.json: activation is \['topk'\], which is not supported"),
    "signed": (
        {"signed": True, "activation": "groupmax"},
        {},
        r"cfg.json: activation is 'groupmax with signed', which is not supported; wanted topk",
    ),
    "skip": ({"skip_connection": True}, {}, r"sae.safetensors: tensor W_skip of shape \(12, 12\) .* is missing"),
    "flag as text": ({"transcode": "no"}, {}, r"cfg.json: transcode must be true or false, got 'no'"),
    "W_dec missing": (
        {},
        {"W_dec": None},
        r"sae.safetensors: tensor W_dec of shape \(63, 12\) .* is missing; the file holds",
    ),
    "W_dec transposed": (
        {},
        {"W_dec": torch.zeros(D, F)},
        r"sae.safetensors: tensor W_dec must have shape \(63, 12\) \(latents, d_in\), got \(12, 63\) \(transposed\)",
    ),
    "other width": ({"num_latents": F + 1}, {}, r"sae.safetensors: tensor encoder.weight must have shape \(64, 12\)"),
    "bias width": (
        {},
        {"encoder.bias": torch.zeros(F - 1)},
        r"tensor encoder.bias must have shape \(63,\) \(latents\)",
    ),
    "NaN": (
        {},
        {"encoder.weight": spoilt(torch.zeros(F, D), torch.nan)},
        r"tensor encoder.weight must be finite, got 1 NaN",
    ),
    "infinity": (
        {},
        {"b_dec": spoilt(torch.zeros(D), torch.inf)},
        r"sae.safetensors: tensor b_dec must be finite, got 1",
    ),
    "integers": (
        {},
        {"b_dec": torch.zeros(D, dtype=torch.int32)},
        r"tensor b_dec must be floating point, got torch.int32",
    ),
    "skip tensor": (
        {},
        {"W_skip": torch.zeros(D, D)},
        r"sae.safetensors: a sparse coder without skip_.* has no tensor W_skip",
    ),
}


def edit_config(file, changes):
    config = json.loads(file.read_text())
    for name, value in changes.items():
        *places, last = name.split("/")
        target = config
        for place in places:
            target = target[place]
        target[last] = value
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


@pytest.mark.parametrize("case", MALFORMED_SPARSIFY)
def test_malformed_sparsify_checkpoints_name_file_and_field(tmp_path, case):
    changes, tensors, words = MALFORMED_SPARSIFY[case]
    sparse_coder(tmp_path)
    edit_config(tmp_path / "cfg.json", changes)
    rewrite(tmp_path / "sae.safetensors", **tensors)
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        load_dictionary(tmp_path)
    assert "\n" not in str(caught.value)


MALFORMED_SAELENS = {
    "architecture": (
        "standard",
        {"architecture": "temporal"},
        {},
        r"cfg.json: architecture is 'temporal', which is not supported; wanted standard or gated or",
    ),
    "d_sae": ("standard", {"d_sae": None}, {}, r"cfg.json: d_sae is missing; wanted an integer"),
    "metadata": ("standard", {"metadata": [1]}, {}, r"cfg.json: metadata must be a JSON object, got \[1\]"),
    "empty metadata": ("standard", {"metadata": 0}, {}, r"cfg.json: metadata must be a JSON object, got 0"),
    "k missing": ("topk", {"k": None}, {}, r"cfg.json: k is missing"),
    "k too large": ("topk", {"k": F + 1}, {}, rf"cfg.json: k must be at most d_sae, {F}, got {F + 1}"),
    "rescale": (
        "topk",
        {"rescale_acts_by_decoder_norm": 1},
        {},
        r"rescale_acts_by_decoder_norm must be true or false, got 1",
    ),
    "b_dec flag": (
        "standard",
        {"apply_b_dec_to_input": "yes"},
        {},
        r"apply_b_dec_to_input must be true or false, got 'yes'",
    ),
    "whitening": (
        "standard",
        {"normalize_activations": "covariance_whitening"},
        {},
        r"cfg.json: normalize_activations is 'covariance_whitening', which is not supported; wanted none or expected_",
    ),
    "no factor": (
        "standard",
        {"normalize_activations": "expected_average_only_in"},
        {},
        r"cfg.json: normalize_activations is 'expected_average_only_in', .* activation_scaler.json beside it",
    ),
    "shape of heads": (
        "standard",
        {"reshape_activations": "hook_q"},
        {},
        r"cfg.json: reshape_activations is 'hook_q', which is not supported; wanted none or hook_z",
    ),
    "one head": (
        "standard",
        {"metadata/hook_head_index": 3},
        {},
        r"cfg.json: metadata.hook_head_index is 3, which is not supported; wanted all heads",
    ),
    "centring as text": (
        "standard",
        {"metadata/model_from_pretrained_kwargs": {"center_writing_weights": "yes"}},
        {},
        r"metadata.model_from_pretrained_kwargs.center_writing_weights must be true or false, got 'yes'",
    ),
    "queries": (
        "standard",
        {"metadata/hook_name": "blocks.1.attn.hook_q"},
        {},
        r"cfg.json: metadata.hook_name is 'blocks.1.attn.hook_q', which is not supported; wanted a hook at a block",
    ),
    "inside a norm": (
        "standard",
        {"metadata/hook_name": "blocks.1.ln2.hook_scale"},
        {},
        r"cfg.json: metadata.hook_name is 'blocks.1.ln2.hook_scale', which is not supported",
    ),
    "context": (
        "standard",
        {"metadata/context_size": "128"},
        {},
        r"cfg.json: metadata.context_size must be an integer",
    ),
    "threshold": ("jumprelu", {}, {"threshold": None}, r"sae_weights.safetensors: tensor threshold of shape \(63,\)"),
    "NaN": ("jumprelu", {}, {"threshold": torch.full((F,), torch.nan)}, r"tensor threshold must be finite, got 63 NaN"),
    "transposed": (
        "standard",
        {},
        {"W_enc": torch.zeros(F, D)},
        r"tensor W_enc must have shape \(12, 63\) \(d_in, latents\), got \(63, 12\) \(transposed\)",
    ),
    "not what the config says": (
        "jumprelu",
        {"architecture": "standard"},
        {},
        r"architecture standard has no tensor threshold",
    ),
    "scaled": (
        "standard",
        {},
        {"finetuning_scaling_factor": torch.full((F,), 1.5)},
        r"sae_weights.safetensors: tensor finetuning_scaling_factor is not all ones, which is not supported",
    ),
}


@pytest.mark.parametrize("case", MALFORMED_SAELENS)
def test_malformed_saelens_checkpoints_name_file_and_field(tmp_path, case):
    architecture, changes, tensors, words = MALFORMED_SAELENS[case]
    sae(tmp_path, architecture)
    edit_config(tmp_path / "cfg.json", changes)
    rewrite(tmp_path / "sae_weights.safetensors", **tensors)
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        load_dictionary(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flat", "words"),
    [
        ({"activation_fn_str": "tanh-relu"}, r"cfg.json: activation_fn_str is 'tanh-relu', which is not supported"),
        ({"activation_fn_str": "topk"}, r"cfg.json: k is missing"),
        (
            {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": "7"}},
            r"activation_fn_kwargs.k must be an integer",
        ),
        (
            {"activation_fn_str": "topk", "architecture": "jumprelu"},
            r"activation_fn_str is 'topk', .* architecture jumprelu",
        ),
        ({"normalize_activations": True}, r"normalize_activations is 'expected_average_only_in'"),
        ({"hook_point": "blocks.2.attn.hook_q"}, r"cfg.json: hook_point is 'blocks.2.attn.hook_q', which is not"),
        ({"architecture": "gated", "activation_fn_str": "topk"}, r"activation_fn_str is 'topk', .* architecture gated"),
    ],
)
def test_what_old_saelens_configs_ask_for_is_never_skipped(tmp_path, flat, words):
    sae(tmp_path, "standard")
    (tmp_path / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": F} | flat))
    with pytest.raises((ValueError, TypeError), match=words):
        load_dictionary(tmp_path)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.5, 0.999])
def test_truncated_weights_are_refused(tmp_path, share):
    sparse_coder(tmp_path)
    file = tmp_path / "sae.safetensors"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ValueError, match=r"sae.safetensors must be a whole safetensors file"):
        load_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, FileNotFoundError, r"cfg.json does not exist"),
        ("{", ValueError, r"cfg.json must hold JSON"),
        ("[1]", TypeError, r"cfg.json must be a JSON object, got \[1\]"),
    ],
)
def test_configs_that_are_no_object_are_refused(tmp_path, content, error, words):
    sparse_coder(tmp_path)
    (tmp_path / "cfg.json").unlink()
    if content is not None:
        (tmp_path / "cfg.json").write_text(content)
    with pytest.raises(error, match=words):
        load_dictionary(tmp_path)
