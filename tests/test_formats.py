"""Checkpoint formats: against the libraries' own recorded activations, against SAELens' loaders, against formulas."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import checkpoints
from analogue import FeatureActivations, load_dictionary
from checkpoints import WRITERS, D, F

FIXTURES = Path(__file__).parent / "fixtures"


def agrees(dictionary, x, features, reconstruction):
    """The same indices; values and reconstructions to float32's precision."""
    x, features, reconstruction = (torch.as_tensor(np.asarray(v)).float() for v in (x, features, reconstruction))
    indptr, indices, values = dictionary.encode_sparse(x)
    np.testing.assert_array_equal(indices, features.nonzero()[:, 1])
    np.testing.assert_array_equal(np.diff(indptr), (features != 0).sum(1))
    np.testing.assert_allclose(values, features[features != 0], rtol=2e-5, atol=2e-5)
    encoded = dictionary.encode(x)
    sparse = FeatureActivations.from_csr(indptr, indices, values, dictionary.n_features).to_dense()
    np.testing.assert_array_equal(encoded.numpy(), sparse)
    np.testing.assert_allclose(dictionary.decode(encoded, x), reconstruction, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dictionary.reconstruct(x), reconstruction, rtol=1e-4, atol=1e-4)
    assert 0 < (features != 0).float().mean() < 1


# --- recorded: scripts/make_fixtures_*.py ----------------------------------------------------------------------------


RECORDED = sorted(path.parent.relative_to(FIXTURES).as_posix() for path in FIXTURES.rglob("expected.safetensors"))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_features_and_reconstructions_are_those_of_the_library(name, tmp_path):
    shutil.copytree(FIXTURES / name, tmp_path / "copy")  # the fixtures' own weights only
    expected = load_file(tmp_path / "copy/expected.safetensors")
    dictionary = load_dictionary(tmp_path / "copy")
    agrees(dictionary, expected["x"], expected["features"], expected["reconstruction"])
    assert dictionary.format == name.split("/")[0]
    assert dictionary.site == "layers.3"
    if dictionary.format == "dictionary_learning":
        assert (dictionary.context_length, dictionary.bos) == (128, True)
    assert dictionary.site_out == ("layers.3.mlp.written" if name.endswith("transcoder") else None)


def test_every_class_and_nonlinearity_was_recorded():
    assert {name.split("/")[0] for name in RECORDED} == {"dictionary_learning", "llamascopium"}
    assert len(RECORDED) == 16


# --- layouts that no package writes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", WRITERS)
def test_features_follow_the_formulas(case, tmp_path):
    written = WRITERS[case](tmp_path)
    dictionary = load_dictionary(written.path)
    agrees(dictionary, written.x, written.features, written.reconstruction)
    assert {name: getattr(dictionary, name) for name in written.facts} == written.facts
    assert (dictionary.n_features, dictionary.d_in) == (F, D)
    assert dictionary.path == written.path
    pre = load_dictionary(written.path, activation="pre").encode(torch.tensor(written.x))
    assert (pre.numpy() >= 0).all()
    assert ((pre.numpy() > 0) | (written.features == 0)).all()
    found = load_dictionary(tmp_path)  # from the folder above
    torch.testing.assert_close(found.encode(torch.tensor(written.x)), dictionary.encode(torch.tensor(written.x)))


@pytest.mark.parametrize(
    ("case", "site", "site_out"),
    [
        ("gemma scope, residual", "layers.5", None),
        ("gemma scope, mlp", "layers.5.mlp.written", None),
        ("gemma scope, attention", "layers.5.attention.heads", None),
        ("gemma scope, embedding", "embed", None),
        ("gemma scope, transcoder", "layers.5.mlp.normalized", "layers.5.mlp.written"),
    ],
)
def test_the_path_says_where_a_dictionary_of_gemma_scope_belongs(case, site, site_out, tmp_path):
    dictionary = load_dictionary(WRITERS[case](tmp_path).path)
    assert (dictionary.site, dictionary.site_out) == (site, site_out)


def test_the_places_that_gemma_scope_names_are_in_its_models(tmp_path):
    from transformers import Gemma2Config, Gemma2Model

    from analogue.capture import site_width

    sizes = {"hidden_size": D, "head_dim": D, "num_attention_heads": 1, "num_key_value_heads": 1}
    model = Gemma2Model(Gemma2Config(vocab_size=50, num_hidden_layers=6, intermediate_size=9, **sizes))
    for case in [case for case in WRITERS if case.startswith("gemma")]:
        (tmp_path / case).mkdir()
        dictionary = load_dictionary(WRITERS[case](tmp_path / case).path)
        for site in filter(None, (dictionary.site, dictionary.site_out)):
            assert site_width(model, site) == D


def test_a_dictionary_of_gemma_scope_outside_its_repository_needs_a_site(tmp_path):
    folder = checkpoints.gemma_scope(tmp_path, "mine").path
    with pytest.raises(ValueError, match=r"the path must name a repository such as gemma-scope-2b-pt-res .* or site"):
        load_dictionary(folder)
    assert load_dictionary(folder, site="layers.5").site == "layers.5"


# --- SAELens' own loaders, where they are right, from a folder laid out as the hub's cache ---------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub, and what puts a folder in it as a repository."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    revision = "0123456789abcdef0123456789abcdef01234567"

    def put(folder, repository):
        root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        shutil.copytree(folder, root / "snapshots" / revision)
        (root / "refs").mkdir()
        (root / "refs/main").write_text(revision)

    return put


SAELENS = {
    "gemma scope, residual": ("gemma_2_sae", "google/gemma-scope-2b-pt-res", "layer_5/width_16k/average_l0_71"),
    "gemma scope, attention": ("gemma_2_sae", "google/gemma-scope-2b-it-att", "layer_5/width_16k/average_l0_71"),
    "qwen scope": ("qwen_scope_sae", "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4", "layer7.sae.pt"),
    "goodfire": ("goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19", "Llama-3.1-8B-Instruct-SAE-l19.pth"),
    "deepseek": ("deepseek_r1_sae", "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l37", "R1-SAE-l37.pt"),
    "mwhanna": ("mwhanna_transcoder", "mwhanna/qwen3-0.6b-transcoders-lowl0", "layer_3.safetensors"),
    "hook_z": ("connor_rob_hook_z", "ckkissane/attn-saes-gpt2-small-all-layers", "gpt2-small_L5_Hcat_z.pt"),
}


@pytest.mark.filterwarnings(r"ignore:\s*This SAE has non-empty model_from_pretrained_kwargs")
@pytest.mark.parametrize("case", SAELENS)
def test_saelens_loads_the_same_features_from_the_hubs_cache(case, tmp_path, hub):
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    maker, repository, inside = SAELENS[case]
    written = WRITERS[case](tmp_path / "here")
    hub(next((tmp_path / "here").iterdir()), repository)
    load = getattr(loaders, f"{maker}_huggingface_loader", None) or getattr(loaders, f"get_{maker}_huggingface_loader")
    overrides = {"d_in": D, "d_out": D, "d_sae": F, "dtype": "float32", "reshape_activations": "none"}
    config, state, _ = load(repository, inside, device="cpu", cfg_overrides=overrides)
    library = SAE.from_dict(loaders.handle_config_defaulting(config))
    library.load_state_dict({name: tensor.float() for name, tensor in state.items()})
    x = torch.tensor(written.x)
    features = library.encode(x).detach()
    dictionary = load_dictionary(f"{repository}/{inside}")
    agrees(dictionary, x, features, library.decode(features).detach())


def test_hub_ids_name_a_repository_and_what_is_in_it(tmp_path, hub):
    from test_dictionaries import sparse_coder

    sparse_coder(tmp_path / "repository/layers.2")
    sparse_coder(tmp_path / "repository/layers.3")
    (tmp_path / "repository/config.json").write_text('{"ctx_len": 512}')
    hub(tmp_path / "repository", "EleutherAI/sae-tiny")
    for dictionary in (
        load_dictionary("EleutherAI/sae-tiny", site="layers.3"),
        load_dictionary("EleutherAI/sae-tiny/layers.3"),
    ):
        assert (dictionary.site, dictionary.context_length) == ("layers.3", 512)
    with pytest.raises(FileNotFoundError, match=r"EleutherAI/sae-tiny has no folder or file layers.9"):
        load_dictionary("EleutherAI/sae-tiny/layers.9")


def test_a_repository_that_is_not_there_is_said_in_one_sentence(hub):
    with pytest.raises(
        FileNotFoundError, match=r"^path some/thing is no folder here, and the hub gives no .*some/thing"
    ):
        load_dictionary("some/thing")
    for name in ("./some/thing", "/some/thing", "thing"):
        with pytest.raises(FileNotFoundError, match=r"does not exist; wanted a folder with"):
            load_dictionary(name)


# --- what is refused -------------------------------------------------------------------------------------------------


def edit(file, changes):
    """Set fields of a JSON file, at any depth; None takes one away."""
    config = json.loads(file.read_text())
    for name, value in changes.items():
        *places, last = name.split("/")
        target = config
        for place in places:
            target = target[place]
        target[last] = value
        if value is None:
            del target[last]
    file.write_text(json.dumps(config))


def change(file, **changes):
    """Set what a PyTorch file holds; None takes it away."""
    held = torch.load(file) | changes
    torch.save({name: value for name, value in held.items() if value is not None}, file)


CONFIGS = {  # fixture or writer, its config, changes, words
    "a crosscoder": (
        "dictionary_learning/AutoEncoder",
        {"trainer/dict_class": "CrossCoder"},
        r"config.json: trainer.dict_class is 'CrossCoder', which is not supported; wanted AutoEncoder or",
    ),
    "no class": (
        "dictionary_learning/AutoEncoder",
        {"trainer/dict_class": None},
        r"config.json: trainer.dict_class is missing; wanted AutoEncoder or",
    ),
    "another k": (
        "dictionary_learning/AutoEncoderTopK",
        {"trainer/k": 5},
        r"config.json: trainer.k must be 4, as .*ae.pt holds, got 5",
    ),
    "wide k": (
        "dictionary_learning/AutoEncoderTopK",
        {"trainer/k": 21},
        r"config.json: trainer.k must be at most dict_size, 20, got 21",
    ),
    "both sides": (
        "dictionary_learning/AutoEncoder",
        {"buffer/io": "in_and_out"},
        r"config.json: buffer.io is 'in_and_out', which is not supported; wanted in or out",
    ),
    "a cross-layer transcoder": (
        "llamascopium/relu",
        {"sae_type": "clt"},
        r"config.json: sae_type is 'clt', which is not supported; wanted sae",
    ),
    "a gate in the encoder": (
        "llamascopium/relu",
        {"use_glu_encoder": True},
        r"config.json: use_glu_encoder is True, which is not supported; wanted false",
    ),
    "top k of a batch": (
        "llamascopium/topk",
        {"act_fn": "batchtopk"},
        r"config.json: act_fn is 'batchtopk', which is not supported; wanted relu or jumprelu or topk",
    ),
    "norms of a batch": (
        "llamascopium/topk",
        {"norm_activation": "batch-wise"},
        r"config.json: norm_activation is 'batch-wise', which is not supported; wanted dataset-wise or",
    ),
    "an expansion in words": (
        "llamascopium/topk",
        {"expansion_factor": "3"},
        r"config.json: expansion_factor must be a positive number, got '3'",
    ),
    "a boundless expansion": (
        "llamascopium/topk",
        {"expansion_factor": 1e308},
        r"config.json: expansion_factor must be a positive number, got 1e\+308",
    ),
    "wide top_k": (
        "llamascopium/topk",
        {"top_k": 19},
        r"config.json: top_k must be at most the number of latents, 18, got 19",
    ),
    "a hook nobody knows": (
        "llamascopium/topk",
        {"hook_point_in": "blocks.3.attn.hook_q"},
        r"config.json: hook_point_in is 'blocks.3.attn.hook_q', which is not supported; wanted a hook at a block",
    ),
    "no norm": (
        "llama scope",
        {"dataset_average_activation_norm/in": None},
        r"hyperparams.json: dataset_average_activation_norm.in is missing; wanted a number",
    ),
    "a norm of zero": (
        "llama scope",
        {"dataset_average_activation_norm": {"in": 0, "out": 1}},
        r"hyperparams.json: dataset_average_activation_norm.in must be a positive number, got 0",
    ),
    "another architecture": (
        "gemma scope 2",
        {"architecture": "topk"},
        r"config.json: architecture is 'topk', which is not supported; wanted jump_relu",
    ),
    "a skip connection that is not there": (
        "gemma scope 2",
        {"affine_connection": True},
        r"params.safetensors: tensor affine_skip_connection of shape \(6, 6\) \(d_in, d_out\) is missing",
    ),
    "a skip connection nobody spoke of": (
        "gemma scope 2, affine transcoder",
        {"affine_connection": False},
        r"an autoencoder of Gemma Scope 2 without affine_connection has no tensor affine_skip_connection",
    ),
    "other widths": (
        "hook_z",
        {"dict_size": 21},
        r"z.pt: tensor b_enc must have shape \(21,\) \(latents\), got \(20,\)",
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs_that_ask_for_something_else_are_refused_by_name(case, tmp_path):
    source, changes, words = CONFIGS[case]
    if source in WRITERS:
        WRITERS[source](tmp_path)
    else:
        shutil.copytree(FIXTURES / source, tmp_path / "copy")
        (tmp_path / "copy/expected.safetensors").unlink()
    (config,) = tmp_path.rglob("*.json")
    edit(config, changes)
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        load_dictionary(tmp_path)
    assert "\n" not in str(caught.value)


TENSORS = {  # writer, what is changed in its file, words
    "transposed": ("qwen scope", {"W_enc": torch.zeros(D, F)}, r"W_enc must have shape \(20, 6\) .* \(transposed\)"),
    "missing": (
        "qwen scope",
        {"b_enc": None},
        r"layer7.sae.pt: tensor b_enc of one dimension \(latents\) is missing; the",
    ),
    "no latents": ("qwen scope", {"b_enc": torch.zeros(0)}, r"b_enc must have one dimension .* not 0, got \(0,\)"),
    "NaN": (
        "goodfire",
        {"decoder_linear.bias": torch.full((D,), torch.nan)},
        r"decoder_linear.bias must be finite, got 6",
    ),
    "no tensor": (
        "goodfire",
        {"encoder_linear.bias": "zero"},
        r"pth: encoder_linear.bias must be a tensor, got 'zero'",
    ),
    "a view that repeats": (
        "goodfire",
        {"decoder_linear.weight": torch.zeros(1).expand(D, F)},
        r"got a view that repeats",
    ),
    "sparse": (
        "goodfire",
        {"decoder_linear.weight": torch.eye(F)[:D].to_sparse()},
        r"SAE-l19.pth must be a whole PyTorch file",
    ),
    "another function": (
        "openai",
        {"activation": "GELU"},
        r"8.pt: activation is 'GELU', which is not supported; wanted R",
    ),
    "no k": (
        "openai",
        {"activation_state_dict": {"postact_fn": "ReLU"}},
        r"activation_state_dict.k must be a positive",
    ),
    "wide k": ("openai", {"activation_state_dict": {"k": 21}}, r"k must be at most the number of latents, 20, got 21"),
    "either sign": (
        "openai",
        {"activation_state_dict": {"k": 2, "postact_fn": "Identity"}},
        r"activation_state_dict.postact_fn is 'Identity', which is not supported; wanted ReLU",
    ),
    "state of another kind": (
        "openai",
        {"activation_state_dict": 3},
        r"activation_state_dict must hold k and postact_fn",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit_are_named(case, tmp_path):
    source, changes, words = TENSORS[case]
    file = WRITERS[source](tmp_path).path
    change(file, **changes)
    with pytest.raises(ValueError, match=words) as caught:
        load_dictionary(file)
    assert "\n" not in str(caught.value)


def test_a_threshold_that_was_never_set_is_no_threshold(tmp_path):
    shutil.copytree(FIXTURES / "dictionary_learning/BatchTopKSAE", tmp_path / "copy")
    change(tmp_path / "copy/ae.pt", threshold=torch.tensor(-1.0))
    with pytest.raises(
        ValueError, match=r"ae.pt: threshold must be at least 0, got -1.0, which BatchTopKSAE has before"
    ):
        load_dictionary(tmp_path / "copy/ae.pt")


def test_a_repository_of_qwen_scope_says_k_and_one_layer_is_picked(tmp_path):
    file = WRITERS["qwen scope"](tmp_path).path
    shutil.copy(file, file.with_name("layer11.sae.pt"))
    assert load_dictionary(file.parent, site="layers.11").path.name == "layer11.sae.pt"
    with pytest.raises(ValueError, match=r"several dictionaries; site must be one of layers.7, layers.11"):
        load_dictionary(file.parent)
    with pytest.raises(ValueError, match=r"site 'layers.2' is not in .*; the sites there are layers.7, layers.11"):
        load_dictionary(file.parent, site="layers.2")
    shutil.copy(file, tmp_path / "layer7.sae.pt")
    with pytest.raises(ValueError, match=r"the path must name k, as in SAE-Res-Qwen3-1.7B-Base-W32K-L0_50"):
        load_dictionary(tmp_path / "layer7.sae.pt")


def test_files_of_torch_before_the_archive_load(tmp_path):
    written = checkpoints.linear(tmp_path)
    torch.save(torch.load(written.path), written.path, _use_new_zipfile_serialization=False)
    agrees(load_dictionary(written.path), written.x, written.features, written.reconstruction)


def test_other_peoples_files_are_passed_over(tmp_path):
    written = checkpoints.linear(tmp_path)
    torch.save({"state": {}, "param_groups": []}, tmp_path / "optimizer.pt")
    (tmp_path / "notes.pt").write_bytes(b"no archive")
    assert load_dictionary(tmp_path).path == written.path
    with pytest.raises(
        FileNotFoundError, match=r"optimizer.pt holds no dictionary: optimizer.pt has param_groups, state; wanted"
    ):
        load_dictionary(tmp_path / "optimizer.pt")


def test_crosscoders_and_cross_layer_transcoders_are_refused_by_name(tmp_path):
    checkpoints.pickled(tmp_path / "crosscoder/cc_weights.pt", W_enc=np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ValueError, match=r"cc_weights.pt is of a crosscoder, which .*; that is not supported"):
        load_dictionary(tmp_path)
    shutil.rmtree(tmp_path / "crosscoder")
    checkpoints.save(tmp_path / "W_enc_0.safetensors", W_enc_0=np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match=r"W_enc_0.safetensors is of a cross-layer transcoder, which .* not supported"):
        load_dictionary(tmp_path)


def test_hashes_are_of_the_files_that_were_loaded(tmp_path):
    dictionary = load_dictionary(checkpoints.gemma_scope_2(tmp_path).path)
    again = load_dictionary(tmp_path)
    files = {
        name: hashlib.sha256((dictionary.path / name).read_bytes()).hexdigest()
        for name in ("params.safetensors", "config.json")
    }
    assert dictionary.sha256 == files["params.safetensors"]
    assert dictionary.files.config_sha256 == files["config.json"]
    (dictionary.path / "config.json").write_text("{ }")
    assert dictionary.sha256 == files["params.safetensors"]  # it was asked for before
    with pytest.raises(ValueError, match=r"l0_small has changed since it was loaded; load it again"):
        again.sha256  # noqa: B018
