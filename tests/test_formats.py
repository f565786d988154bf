"""Checkpoint formats: against the libraries' own recorded activations, against SAELens' loaders, against formulas."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import checkpoints
from analogue import FeatureActivations, load_dictionary
from analogue.dictionaries.hooks import hook_site, module_site
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
    assert dictionary.site_out == ("layers.3.mlp" if name.endswith("transcoder") else None)


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
        ("gemma scope, mlp", "layers.5.post_feedforward_layernorm", None),
        ("gemma scope, attention", "layers.5.attention.heads", None),
        ("gemma scope, embedding", "embed_tokens", None),
        ("gemma scope, transcoder", "layers.5.middle", "layers.5.post_feedforward_layernorm"),
    ],
)
def test_the_path_says_where_a_dictionary_of_gemma_scope_belongs(case, site, site_out, tmp_path):
    dictionary = load_dictionary(WRITERS[case](tmp_path).path)
    assert (dictionary.site, dictionary.site_out) == (site, site_out)


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


# --- sites -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "model", "site"),
    [
        ("blocks.4.hook_resid_post", "", "layers.4"),
        ("blocks.4.hook_resid_pre", "", "layers.3"),
        ("blocks.0.hook_resid_pre", "", "layers.0.input"),
        ("blocks.4.hook_resid_mid", "", "layers.4.middle"),
        ("blocks.4.hook_mlp_in", "", "layers.4.middle"),
        ("blocks.4.hook_mlp_out", "gpt2-small", "layers.4.mlp"),
        ("blocks.4.hook_mlp_out", "google/gemma-2-2b", "layers.4.post_feedforward_layernorm"),
        ("blocks.4.hook_attn_out", "gemma-2b", "layers.4.attention"),
        ("blocks.4.hook_attn_out", "gemma-3-1b-it", "layers.4.post_attention_layernorm"),
        ("blocks.4.attn.hook_z", "", "layers.4.attention.heads"),
        ("blocks.4.mlp.hook_in", "", "layers.4.mlp.input"),
        ("blocks.4.mlp.hook_post", "", "layers.4.mlp.neurons"),
        ("blocks.4.ln2.hook_normalized", "", None),
        ("hook_embed", "", None),
        ("blocks.x.hook_resid_post", "", None),
    ],
)
def test_hooks_of_transformerlens_have_sites(hook, model, site):
    assert hook_site(hook, model) == site


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("model.layers.5.output", "layers.5"),
        ("model.layers.5.self_attn.o_proj.input", "layers.5.attention.heads"),
        ("model.language_model.layers.5.mlp.output", "layers.5.mlp"),
        ("model.decoder.layers.5", "layers.5"),
        ("model.decoder.final_layer_norm", "decoder.final_layer_norm"),
        ("gpt_neox.layers.2.mlp.input", "layers.2.mlp.input"),
    ],
)
def test_module_paths_lose_the_models_prefix(path, site):
    assert module_site(path) == site
