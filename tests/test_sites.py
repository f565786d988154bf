"""Every site of every architecture: hidden states, sums and norms worked out in NumPy, and TransformerLens's own."""

import re

import numpy as np
import pytest
import torch
import transformers

import architectures
import tiny
from analogue.capture import capture, site_width
from analogue.corpus import Corpus
from analogue.dictionaries import neurons
from analogue.hooks import HOOKS, hook_site
from analogue.sites import available_sites, find_site, neuron_directions

TOKENIZER = tiny.tokenizer("plain")
# Every block has so many tokens that no padding sees padding only through a window of 8: eager attention of float64
# weights gives NaN there.
CORPUS = Corpus.from_texts([tiny.TEXT[:75], "and the dog sat on the cat"], TOKENIZER, 12)
FAMILIES = architectures.ARCHITECTURES
LAST = 2


def captured(model, sites):
    """Every site as a dense float64 array, from one capture."""
    dictionaries = {site: neurons(site_width(model, site), site) for site in sites}
    acts = capture(model, CORPUS, dictionaries, device="cpu", batch_size=3)
    return {site: values.to_dense().astype(np.float64) for site, values in acts.items()}


def hidden_states(model):
    """transformers' own, at the kept tokens, each block alone and without padding."""
    rows = []
    for ids, used, kept in zip(CORPUS.token_ids, CORPUS.attention_mask, CORPUS.kept, strict=True):
        with torch.no_grad():
            states = model(torch.from_numpy(ids[used]).long()[None], output_hidden_states=True).hidden_states
        rows.append([state[0].numpy()[kept[used]] for state in states])
    return [np.concatenate(state) for state in zip(*rows, strict=True)]


def array(module, name):
    value = getattr(module, name, None)
    return None if value is None else value.detach().numpy()


def normalized(x, norm, about):
    """Layer norm (Ba et al. 2016) or RMS norm (Zhang and Sennrich 2019) before gain and bias."""
    epsilon = next(getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name))
    centred = x if about.root_mean_square else x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + epsilon)


def normed(x, norm, about):
    bias = array(norm, "bias")
    return normalized(x, norm, about) * (array(norm, "weight") + about.gain_less_one) + (0 if bias is None else bias)


def projected(x, projection):
    """A linear layer, or GPT-2's, which holds its weight the other way round."""
    weight, bias = array(projection, "weight"), array(projection, "bias")
    transposed = isinstance(projection, transformers.pytorch_utils.Conv1D)
    return x @ (weight if transposed else weight.T) + (0 if bias is None else bias)


def close(one, other, what):
    scale = np.abs(other).max()
    assert scale > 0.05, what
    np.testing.assert_allclose(one, other, atol=2e-6 * scale, rtol=2e-6, err_msg=what)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_of_every_architecture(family):
    model, about = architectures.model(family), FAMILIES[family]
    sites, states = captured(model, available_sites(model)), hidden_states(model)
    blocks = model.get_submodule(about.blocks)
    table = array(model.get_submodule(about.embedding), "weight")
    embedded = about.embedding_factor * table[CORPUS.kept_token_ids]
    if about.norm_of_embedding:
        embedded = normed(embedded, model.get_submodule(about.norm_of_embedding), about)
    close(sites["embed"], embedded, "embed")
    for n, block in enumerate(blocks):
        at = {site.removeprefix(f"layers.{n}").lstrip("."): x for site, x in sites.items() if f"layers.{n}" in site}
        norm_1, norm_2 = (block.get_submodule(path) for path in about.norms)
        for part, path in zip(("attention", "mlp"), about.projections, strict=True):
            inner = at[{"attention": "attention.heads", "mlp": "mlp.neurons"}[part]]
            close(at[part], projected(inner, block.get_submodule(path)), f"{n} {part}")
            if about.norms_of_output is None:
                np.testing.assert_array_equal(at[f"{part}.written"], at[part])
            else:
                norm = block.get_submodule(about.norms_of_output[part == "mlp"])
                close(at[f"{part}.written"], normed(at[part], norm, about), f"{n} {part}.written")
                assert np.abs(at[f"{part}.written"] - at[part]).max() > 0.1

        stream = at["input"] + at["attention.written"]
        close(at["input"], states[n], f"{n} input")
        if about.order == "parallel":
            assert "middle" not in at
            close(at[""], stream + at["mlp.written"], f"{n} output")
            reads = at["input"]
        else:
            close(at["middle"], stream, f"{n} middle")
            reads = stream
        if about.order == "sequential":
            close(at[""], at["middle"] + at["mlp.written"], f"{n} output")
        if about.order == "post-norm":
            assert not any("normalized" in site for site in at)
            close(at["attention.input"], at["input"], f"{n} attention.input")
            close(at["mlp.input"], normed(stream, norm_1, about), f"{n} mlp.input")
            close(at[""], normed(at["mlp.input"] + at["mlp.written"], norm_2, about), f"{n} output")
        else:
            close(at["attention.normalized"], normalized(at["input"], norm_1, about), f"{n} attention.normalized")
            close(at["attention.input"], normed(at["input"], norm_1, about), f"{n} attention.input")
            one_norm = norm_1 if family in ("gptj", "falcon") else norm_2
            close(at["mlp.input"], normed(reads, one_norm, about), f"{n} mlp.input")
            if "mlp.normalized" in at:
                close(at["mlp.normalized"], normalized(reads, norm_2, about), f"{n} mlp.normalized")
            assert ("mlp.normalized" in at) == (family not in ("gptj", "falcon"))
        last = (
            normed(at[""], model.get_submodule(about.final_norm), about) if n == LAST and about.final_norm else at[""]
        )
        close(last, states[n + 1], f"{n} output, against hidden states")


# All that TransformerLens 3 caches under these names; its hook_mlp_in is there only after a switch.
LENS = set(HOOKS) - {"blocks.N.hook_mlp_in"}
NO_MIDDLE = {"blocks.N.hook_resid_mid"}
ABSENT = {"gpt_neox": NO_MIDDLE, "gptj": NO_MIDDLE | {"blocks.N.ln2.hook_normalized"}}
BRIDGED = (
    "gpt_neox",
    "gpt2",
    "gptj",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "opt",
    "bloom",
)


@pytest.mark.parametrize("family", BRIDGED)
def test_hook_names_against_transformer_lens(family):
    """TransformerLens's own cache, hook by hook, from the same model."""
    bridge = pytest.importorskip("transformer_lens.model_bridge").TransformerBridge
    model = architectures.model(family, "AutoModelForCausalLM", torch.float32)
    model.config.architectures = [type(model).__name__]
    hooks = [name.replace("N", n) for name in sorted(LENS - ABSENT.get(family, set())) for n in "012"]
    ours = captured(model, dict.fromkeys(hooks))
    lens = bridge.boot_transformers("tiny", hf_model=model, device="cpu", tokenizer=tiny.tokenizer("plain"))
    _, cache = lens.run_with_cache(torch.from_numpy(CORPUS.token_ids).long())  # nothing sees the padding, it is last
    missing = {re.sub(r"\d", "N", hook) for hook in ours if hook not in cache}
    assert missing <= {"blocks.N.mlp.hook_in"}
    for hook, values in ours.items():
        if hook in cache:
            theirs = cache[hook].numpy().reshape(*CORPUS.kept.shape, -1)
            np.testing.assert_allclose(values, theirs[CORPUS.kept], atol=1e-5 * np.abs(theirs).max(), err_msg=hook)


@pytest.mark.parametrize("family", ABSENT)
@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_mid", "blocks.1.hook_mlp_in"])
def test_parallel_blocks_have_no_middle(family, hook):
    with pytest.raises(
        ValueError, match=rf"no site '{hook}': attention and MLP of this {family} read the same residual stream"
    ):
        find_site(architectures.model(family), hook)


NAMES = {
    "hook_embed": "embed",
    "blocks.3.hook_resid_post": "layers.3",
    "blocks.0.hook_resid_pre": "layers.0.input",
    "blocks.11.hook_resid_mid": "layers.11.middle",
    "blocks.3.hook_attn_out": "layers.3.attention.written",
    "blocks.3.hook_mlp_out": "layers.3.mlp.written",
    "blocks.3.attn.hook_z": "layers.3.attention.heads",
    "blocks.3.mlp.hook_post": "layers.3.mlp.neurons",
    "blocks.3.mlp.hook_in": "layers.3.mlp.input",
    "blocks.3.hook_mlp_in": "layers.3.middle",
    "blocks.3.ln2.hook_normalized": "layers.3.mlp.normalized",
    "model.layers.12.output": "layers.12",
    "model.layers.12.self_attn.o_proj.input": "layers.12.self_attn.o_proj.input",
    "model.layers.12.post_feedforward_layernorm.output": "layers.12.post_feedforward_layernorm",
    "model.language_model.layers.2": "layers.2",
    "gpt_neox.layers.4.mlp": "layers.4.mlp",
    "transformer.h.3.attn": "layers.3.attn",
    "h.3": "layers.3",
    "bert.encoder.layer.5.attention.output.dense": "layers.5.attention.output.dense",
    "encoder.block.2": "layers.2",
    "decoder.layers.2": "layers.2",
    "layers.2.mlp": "layers.2.mlp",
    "model.embed_tokens": "embed_tokens",
    "model.norm.input": "norm.input",
    "vision_tower.encoder.layers.3": None,
    "blocks.3.attn.hook_q": None,
    "blocks.3": None,
    "blocks.x.hook_resid_post": None,
    "hook_pos_embed": None,
    "ln_final.hook_normalized": None,
    "layer 3": None,
    "": None,
}


@pytest.mark.parametrize(("name", "site"), NAMES.items())
def test_names_of_others(name, site):
    assert hook_site(name) == site


@pytest.mark.parametrize(
    ("family", "path", "site"),
    [
        ("gpt2", "transformer.h.1.attn.c_proj.input", "layers.1.attention.heads"),
        ("gemma2", "model.layers.1.post_feedforward_layernorm.output", "layers.1.mlp.written"),
        ("gemma2", "model.layers.1.pre_feedforward_layernorm.output", "layers.1.mlp.input"),
        ("gemma2", "model.layers.1.output", "layers.1"),
        ("bert", "encoder.layer.2.output.dense.input", "layers.2.mlp.neurons"),
        ("t5", "encoder.block.1.layer.1.input", "layers.1.middle"),
        ("opt", "decoder.layers.0.fc1.input", "layers.0.mlp.input"),
    ],
)
def test_module_paths_with_input_and_output(family, path, site):
    model = architectures.model(family)
    both = captured(model, [hook_site(path), site])
    np.testing.assert_array_equal(both[hook_site(path)], both[site])
    inside = path.removeprefix("model.").removeprefix("transformer.")
    assert find_site(model, inside).module is find_site(model, hook_site(path)).module
    assert find_site(model, inside).of_input == path.endswith(".input")


@pytest.mark.parametrize("family", FAMILIES)
def test_directions_belong_to_the_neurons_and_heads_and_to_nothing_else(family):
    """What is written is the activations times the rows that come with them: the original mixed two bases here."""
    model = architectures.model(family)
    block = model.get_submodule(FAMILIES[family].blocks)[1]
    sites = captured(model, [site for site in available_sites(model) if site.startswith("layers.1")])
    written = {"layers.1.attention.heads": "layers.1.attention", "layers.1.mlp.neurons": "layers.1.mlp"}
    for site, path in zip(written, FAMILIES[family].projections, strict=True):
        rows, bias = neuron_directions(model, site), array(block.get_submodule(path), "bias")
        assert rows.shape == (sites[site].shape[1], 16)
        close(sites[site] @ rows.numpy() + (0 if bias is None else bias), sites[written[site]], site)
        assert not rows.requires_grad
        assert torch.equal(neuron_directions(model, f"layers.1.{path}.input"), rows)
    for site in sites.keys() - written.keys():
        assert neuron_directions(model, site) is None, site


def test_neurons_stand_where_their_directions_come_from():
    model = architectures.model("llama")
    mlp = neurons(28, "layers.1.mlp.neurons", neuron_directions(model, "layers.1.mlp.neurons"))
    assert capture(model, CORPUS, {"blocks.1.mlp.hook_post": mlp})["blocks.1.mlp.hook_post"].n_features == 28
    with pytest.raises(
        ValueError, match=r"neurons of layers\.1\.mlp\.neurons must stand at .*, got them at layers\.2\."
    ):
        capture(model, CORPUS, {"layers.2.mlp.neurons": mlp})


def test_a_gain_of_zero_cannot_be_taken_back():
    model = architectures.model("llama")
    with torch.no_grad():
        model.layers[1].post_attention_layernorm.weight[3] = 0
    assert "layers.1.mlp.normalized" not in available_sites(model)
    with pytest.raises(ValueError, match=r"gain is zero at 1 of 16 dimensions and cannot be taken back"):
        find_site(model, "blocks.1.ln2.hook_normalized")
    with torch.no_grad():
        model.layers[2].post_attention_layernorm.weight[3] = -1
    find_site(model, "layers.2.mlp.normalized")


REFUSED = [
    (
        "llama",
        "blocks.1.attn.hook_q",
        "the hook 'blocks.1.attn.hook_q' has no site here; those that have one are hook_",
    ),
    (
        "bert",
        "blocks.1.hook_resid_post",
        "ambiguous where norms stand behind the sums, as in this bert model; take lay",
    ),
    ("opt post-norm", "blocks.1.hook_resid_mid", "ambiguous where norms stand behind the sums, as in this opt model"),
    ("bert", "layers.1.mlp.normalized", "no site 'layers.1.mlp.normalized': bert has its norms behind the sums"),
    ("gptj", "layers.1.mlp.normalized", "a block of this gptj has no norm for the mlp alone"),
    ("llama", "blocks.3.hook_resid_post", "the model has no site 'blocks.3.hook_resid_post'; it has embed, layers.0"),
    ("llama", "layers.1.mlp.down_proj.inputs", "the model has no site 'layers.1.mlp.down_proj.inputs'; it has embed"),
    ("llama", ".input", "the model has no site '.input'; it has embed"),
]


@pytest.mark.parametrize(("family", "site", "sentence"), REFUSED)
def test_what_is_not_there_is_refused_by_name(family, site, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        find_site(architectures.model(family), site)
    assert "\n" not in str(raised.value)


def test_architectures_that_are_not_known_keep_what_needs_no_knowledge():
    """Granite multiplies what its parts write: their outputs are not what is added."""
    config = transformers.GraniteConfig(**architectures.SIZES, num_key_value_heads=2, residual_multiplier=0.3)
    model = transformers.AutoModel.from_config(config)
    inside = {site.removeprefix("layers.1.") for site in available_sites(model) if site.startswith("layers.1.")}
    assert inside == {"input", "attention.input", "attention.heads", "attention", "mlp.input", "mlp.neurons", "mlp"}
    for site in ("layers.1.mlp.written", "layers.1.middle", "layers.1.attention.normalized"):
        with pytest.raises(ValueError, match="how the blocks of granite are put together is not known here"):
            find_site(model, site)
    with pytest.raises(ValueError, match="what granite adds to the embedding is not known here"):
        find_site(model, "hook_embed")


def test_the_encoder_of_an_encoder_and_decoder():
    whole = architectures.model("t5", "AutoModel")
    with pytest.raises(TypeError, match=r"must be an encoder or a decoder alone, got T5Model; take get_encoder\(\)"):
        available_sites(whole)
    (theirs,) = captured(whole.get_encoder(), ["layers.2"]).values()
    alone = architectures.model("t5")
    alone.load_state_dict(whole.state_dict(), strict=False)
    np.testing.assert_array_equal(captured(alone, ["layers.2"])["layers.2"], theirs)


def test_the_text_model_of_gemma_3_with_eyes():
    text = architectures.ARCHITECTURES["gemma3"].config().to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision | {"image_size": 28, "patch_size": 14})
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    sites = captured(model, ["layers.1.input", "layers.1.attention.written", "layers.1.middle", "embed"])
    np.testing.assert_allclose(
        sites["layers.1.input"] + sites["layers.1.attention.written"], sites["layers.1.middle"], atol=1e-5
    )
    assert find_site(model, "layers.2").module is model.language_model.layers[2]
