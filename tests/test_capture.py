"""What the hooks take against transformers' own hidden states and plain hooks; one pass, early stop, no hook left."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import tiny
from analogue.capture import capture, site_width
from analogue.corpus import Corpus
from analogue.dictionaries import neurons
from analogue.dictionaries.autoencoder import SparseAutoencoder, TopK
from analogue.sites import available_sites, find_site, neuron_directions

BLOCKS = {
    "gpt_neox": "layers",
    "gpt2": "h",
    "llama": "layers",
    "gemma": "layers",
    "gemma2": "layers",
    "bert": "encoder.layer",
    "opt": "decoder.layers",
    "bloom": "h",
}
PARTS = {
    "gpt_neox": ("attention", "mlp"),
    "gpt2": ("attn", "mlp"),
    "llama": ("self_attn", "mlp"),
    "gemma": ("self_attn", "mlp"),
    "gemma2": ("self_attn", "mlp"),
    "bert": ("attention.output.dense", "output.dense"),
    "opt": ("self_attn", "fc2"),
    "bloom": ("self_attention.dense", "mlp.dense_4h_to_h"),
}
ADDS_UP = ("gpt_neox", "gpt2", "llama", "gemma", "opt", "bloom")  # no norm between a part and the residual stream
TEXTS = [tiny.TEXT, "the cat", "a", tiny.TEXT[40:120] + "<eos> and on"]
MODELS = {family: tiny.model(family) for family in tiny.FAMILIES}
TOKENIZERS = {kind: tiny.tokenizer(kind) for kind in ("plain", "bos", "bert")}
CORPORA = {kind: Corpus.from_texts(TEXTS, tokenizer, 16) for kind, tokenizer in TOKENIZERS.items()}


def corpus_of(family):
    return CORPORA[tiny.FAMILIES[family][1]]


def dense(model, corpus, *sites, **options):
    """The activations themselves, float32 (T, d), by site."""
    captured = capture(model, corpus, {site: neurons(24, site) for site in sites}, device="cpu", **options)
    return [captured[site].to_dense() for site in sites]


def hooked(model, corpus, modules):
    """The output of every module on every block alone, without padding: kept rows; and hidden states likewise."""
    rows = {name: [] for name in modules}
    states = []
    for ids, used, kept in zip(corpus.token_ids, corpus.attention_mask, corpus.kept, strict=True):
        outputs = {}
        handles = [
            module.register_forward_hook(lambda m, i, out, name=name, into=outputs: into.update({name: first(out)}))
            for name, module in modules.items()
        ]
        with torch.no_grad():
            result = model(torch.from_numpy(ids[used]).long()[None], output_hidden_states=True)
        for handle in handles:
            handle.remove()
        for name, output in outputs.items():
            rows[name].append(output.reshape(used.sum(), -1).numpy()[kept[used]])
        states.append([state[0].numpy()[kept[used]] for state in result.hidden_states])
    joined = [np.concatenate(state) for state in zip(*states, strict=True)]
    return {name: np.concatenate(parts) for name, parts in rows.items()}, joined


def first(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_sites_against_hidden_states_and_plain_hooks(family):
    model, corpus = MODELS[family], corpus_of(family)
    blocks = model.get_submodule(BLOCKS[family])
    modules = {f"layers.{n}": block for n, block in enumerate(blocks)}
    for n, block in enumerate(blocks):
        for name, path in zip(("attention", "mlp"), PARTS[family], strict=True):
            modules[f"layers.{n}.{name}"] = block.get_submodule(path)
    expected, states = hooked(model, corpus, modules)
    assert set(modules) < set(available_sites(model))
    for site, ours in zip(modules, dense(model, corpus, *modules, batch_size=3), strict=True):
        np.testing.assert_allclose(ours, expected[site], atol=2e-5, rtol=2e-5, err_msg=site)
    for n in range(3):
        np.testing.assert_allclose(expected[f"layers.{n}"], states[n + 1], atol=1e-6)
    if family != "bert":  # states[-1] is after the final norm, which BERT has not
        assert np.abs(expected["layers.3"] - states[4]).max() > 0.1


@pytest.mark.parametrize("family", ADDS_UP)
def test_parts_are_what_a_block_adds_to_the_residual_stream(family):
    before, attention, mlp, after = dense(
        MODELS[family], corpus_of(family), "layers.1", "layers.2.attention", "layers.2.mlp", "layers.2"
    )
    assert np.abs(attention).max() > 0.01
    np.testing.assert_allclose(before + attention + mlp, after, atol=2e-5)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_neurons_write_their_directions(family):
    """What the MLP adds is the sum of its neurons' directions, each times its activation, and the bias."""
    model, corpus, site = MODELS[family], corpus_of(family), "layers.2.mlp.neurons"
    w_dec = neuron_directions(model, site).detach().numpy()
    dictionary = neurons(len(w_dec), site, torch.from_numpy(w_dec))
    captured = capture(model, corpus, {site: dictionary, "layers.2.mlp": neurons(24, "layers.2.mlp")})
    bias = getattr(find_site(model, site).module, "bias", None)
    written = captured[site].to_dense() @ w_dec + (0 if bias is None else bias.detach().numpy())
    np.testing.assert_allclose(written, captured["layers.2.mlp"].to_dense(), atol=2e-5, rtol=1e-4)
    assert neuron_directions(model, "layers.2.mlp") is None


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_batches_do_not_matter(family):
    model, corpus = MODELS[family], corpus_of(family)
    dictionary = sae(24)
    alone, together, default = (
        capture(model, corpus, {"layers.2": dictionary}, batch_size=size)["layers.2"] for size in (1, 7, None)
    )
    assert corpus.n_blocks > 7
    for other in (together, default):
        np.testing.assert_array_equal(alone.indptr, other.indptr)
        np.testing.assert_array_equal(alone.indices, other.indices)
        np.testing.assert_allclose(alone.values, other.values, atol=2e-5, rtol=2e-5)


def sae(width, features=64, k=5):
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(features, width, generator=generator)
    return SparseAutoencoder(
        format="sparsify",
        w_dec=weights,
        w_enc=weights,
        b_enc=torch.zeros(features),
        b_pre=None,
        b_dec=torch.zeros(width),
        nonlinearity=TopK(k),
    )


def test_features_of_several_sites_and_their_tokens():
    model, corpus, dictionary = MODELS["gpt_neox"], CORPORA["plain"], sae(24)
    sites = {"layers.2": dictionary, "layers.0.mlp": sae(24, 33, 1)}
    captured = capture(model, corpus, sites, device="cpu")
    assert list(captured) == list(sites)
    (x,) = dense(model, corpus, "layers.2")
    np.testing.assert_allclose(captured["layers.2"].to_dense(), dictionary.encode(torch.from_numpy(x)), atol=1e-6)
    assert captured["layers.0.mlp"].n_features == 33
    for acts in captured.values():
        assert acts.n_tokens == corpus.n_kept
        np.testing.assert_array_equal(acts.token_ids, corpus.kept_token_ids)
        np.testing.assert_array_equal(acts.document_ids, corpus.kept_document_ids)
        np.testing.assert_array_equal(acts.positions, corpus.kept_positions)
        assert acts.indptr.dtype == np.int64
        assert acts.indices.dtype == np.int32
        assert acts.values.dtype == np.float32


def counted(module):
    """A list that grows by one shape at every call of the module."""
    calls = []
    handle = module.register_forward_pre_hook(lambda m, args, kwargs: calls.append((args, kwargs)), with_kwargs=True)
    return calls, handle


@pytest.mark.parametrize(("size", "batches"), [(1, 7), (3, 3), (1000, 1)])
def test_one_forward_pass_that_ends_at_the_last_site(size, batches):
    model, corpus = tiny.model("gpt_neox", AutoModelForCausalLM), CORPORA["plain"]
    blocks = model.gpt_neox.layers
    watched = [counted(module)[0] for module in (model, blocks[0], blocks[2], blocks[3], model.get_output_embeddings())]
    assert corpus.n_blocks == 8
    assert corpus.kept.any(axis=1).sum() == 7  # the document of one token: a batch that keeps nothing is not read
    capture(model, corpus, {"layers.2": neurons(24, "layers.2"), "layers.0": sae(24)}, batch_size=size)
    one_token_first = 1
    assert [len(calls) for calls in watched] == [batches + one_token_first] * 3 + [0, 0]
    read = [(kwargs["input_ids"], kwargs["attention_mask"]) for _, kwargs in watched[0]]
    assert read[0][0].shape == (1, 1)
    assert sum(int(mask.sum()) for _, mask in read[1:]) == corpus.n_tokens - (size == 1)
    assert all(mask.any(dim=0).all() for _, mask in read), "no column of a batch is padding only"


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_no_hook_is_left_and_modes_are_as_they_were():
    model, corpus = tiny.model("gpt2"), CORPORA["plain"]
    model.train()
    model.h[1].eval()
    modes = {module: module.training for module in model.modules()}
    assert model.h[0].attn.attn_dropout.p > 0
    sites = {"layers.1": neurons(24, "layers.1"), "layers.3": neurons(24, "layers.3")}
    one, two = (capture(model, corpus, sites)["layers.3"].values for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert hooks(model) == 0
    with pytest.raises(ValueError, match="takes vectors of width 25"):
        capture(model, corpus, {"layers.1": neurons(25, "layers.1")})
    with pytest.raises(KeyboardInterrupt):
        capture(model, corpus, sites, progress=interrupt)
    model.h[2].mlp.c_fc = None
    with pytest.raises(TypeError, match="NoneType"):
        capture(model, corpus, sites)
    assert hooks(model) == 0
    assert all(module.training == modes[module] for module in model.modules())


def interrupt(done, total):
    raise KeyboardInterrupt


def test_progress():
    seen = []
    corpus = CORPORA["bos"]
    capture(
        MODELS["llama"],
        corpus,
        {"layers.0": neurons(24, "layers.0")},
        batch_size=4,
        progress=lambda *step: seen.append(step),
    )
    assert len(seen) == 1 + -(-corpus.n_blocks // 4)
    assert {total for _, total in seen} == {corpus.n_tokens}
    assert [done for done, _ in seen] == [
        0,
        *np.cumsum([corpus.attention_mask[start : start + 4].sum() for start in range(0, corpus.n_blocks, 4)]).tolist(),
    ]


def test_module_paths_are_sites():
    model = tiny.model("gemma2", AutoModelForCausalLM)
    paths = ("model.layers.1.mlp", "layers.1.mlp", "layers.1.post_feedforward_layernorm", "embed_tokens", "model.norm")
    named = [
        model.get_submodule(path) for path in ("model.layers.1.mlp", *(f"model.{p}" for p in paths[1:4]), paths[4])
    ]
    assert [find_site(model, path).module for path in paths] == named
    assert find_site(MODELS["gpt2"], "h.3").module is MODELS["gpt2"].h[3]
    causal = tiny.model("gpt_neox", AutoModelForCausalLM)
    assert (
        find_site(causal, "gpt_neox.layers.2").module
        is find_site(causal, "layers.2").module
        is causal.gpt_neox.layers[2]
    )
    corpus = CORPORA["bos"]
    same, path, normed = dense(model, corpus, paths[0], paths[1], paths[2])
    np.testing.assert_array_equal(same, path)
    assert np.abs(same - normed).max() > 0.1


def test_half_precision_is_encoded_in_float32():
    model = tiny.model("llama").to(torch.bfloat16)
    (ours,) = dense(model, CORPORA["bos"], "layers.1")
    (full,) = dense(MODELS["llama"], CORPORA["bos"], "layers.1")
    assert ours.dtype == np.float32
    assert 0 < np.abs(ours - full).max() < 0.1 * np.abs(full).max()


def test_widths():
    model = MODELS["gpt_neox"]
    assert site_width(model, "layers.2") == 24
    assert site_width(model, "layers.0.mlp.dense_h_to_4h") == 40
    with pytest.raises(ValueError, match="sites of width 41: none"):
        capture(model, CORPORA["plain"], {"layers.0": neurons(41, "layers.0")})


def test_the_width_error_names_the_sites_that_fit_before_the_text_is_read():
    model, steps = MODELS["gpt_neox"], []
    site = "layers.1.mlp.dense_h_to_4h"
    with pytest.raises(ValueError, match="takes vectors of width 24") as raised:
        capture(model, CORPORA["plain"], {"layers.0": sae(24), site: sae(24)}, progress=lambda *s: steps.append(s))
    assert steps == []
    fitting = [site for site in available_sites(model) if not site.endswith("neurons")]
    assert str(raised.value) == (
        f"the dictionary for {site} takes vectors of width 24, but {site} gives 40; sites of width 24: "
        + ", ".join(fitting[:12])
        + f" and {len(fitting) - 12} more up to layers.3.mlp.written"
    )


def test_long_lists_of_sites_are_cut_short():
    model = tiny.model("gpt_neox")
    model.layers.extend(tiny.model("gpt_neox").layers)
    model.config.num_hidden_layers = 8
    with pytest.raises(
        ValueError, match=r"no site 'layers.8'; it has embed, layers\.0, .* and 85 more up to layers\.7\.mlp\.written"
    ):
        find_site(model, "layers.8")


def test_nan_is_named_with_its_token():
    model, corpus = tiny.model("gpt2"), CORPORA["plain"]
    document = 3
    only_there = ~np.isin(corpus.document_token_ids[document], corpus.document_token_ids[0])
    position = next(i for i in np.nonzero(only_there)[0] if i % 16)
    rare = corpus.document_token_ids[document][position]
    with torch.no_grad():
        model.wte.weight[rare] = torch.inf
    with pytest.raises(
        ValueError, match=rf"layers\.2 must give finite values, .* first at token {position} of texts\[3\]"
    ):
        capture(model, corpus, {"layers.2": neurons(24, "layers.2")}, batch_size=2)


def test_a_module_that_never_runs():
    model = tiny.model("gpt2")
    model.spare = torch.nn.Linear(24, 24)
    with pytest.raises(ValueError, match="the model never ran spare on plain text"):
        capture(model, CORPORA["plain"], {"spare": neurons(24, "spare"), "layers.0": neurons(24, "layers.0")})
    assert hooks(model) == 0


SITES = {"layers.0": neurons(24, "layers.0")}
MODEL, CORPUS = MODELS["gpt_neox"], CORPORA["plain"]
LONG = Corpus.from_texts([tiny.TEXT * 2], TOKENIZERS["plain"], 65)
BAD = [
    (
        lambda: capture(torch.nn.Linear(2, 2), CORPUS, SITES),
        TypeError,
        "model must be a model of transformers, got Lin",
    ),
    (lambda: capture(MODEL, TEXTS, SITES), TypeError, "corpus must be a Corpus, got list"),
    (lambda: capture(MODEL, CORPUS, {}), ValueError, "sites must hold at least one site"),
    (lambda: capture(MODEL, CORPUS, ["layers.0"]), TypeError, "sites must be a dict from site to Dictionary, got"),
    (lambda: capture(MODEL, CORPUS, {"layers.0": "sae"}), TypeError, "sites must be a dict from site to Dictionary"),
    (
        lambda: capture(MODEL, CORPUS, {3: neurons(24, "x")}),
        TypeError,
        r"a site must be a name such as layers\.3, got 3",
    ),
    (
        lambda: capture(MODEL, CORPUS, {"layers.4": sae(24)}),
        ValueError,
        r"no site 'layers\.4'; it has embed, layers\.0, layers",
    ),
    (lambda: capture(MODEL, CORPUS, {"layers.0.gate": sae(24)}), ValueError, r"no site 'layers\.0\.gate'"),
    (lambda: capture(MODEL, CORPUS, {"": sae(24)}), ValueError, "no site ''"),
    (lambda: capture(MODEL, CORPUS, SITES, batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: capture(MODEL, CORPUS, SITES, device="tpu"), ValueError, "device must be auto, cpu"),
    (lambda: capture(MODEL, LONG, SITES), ValueError, "corpus must have blocks of at most 64 tokens, .* got 65"),
    (
        lambda: capture(MODEL, CORPUS, {"rotary_emb": neurons(4, "rotary_emb")}),
        ValueError,
        r"rotary_emb must give one vector for each of \(\d+, 16\) tokens, got",
    ),
    (
        lambda: capture(MODEL, Corpus.from_texts(["a", "b"], TOKENIZERS["plain"]), SITES),
        ValueError,
        "corpus must keep at least one token, but all 2 are masked",
    ),
]


@pytest.mark.parametrize(("call", "error", "match"), BAD)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_token_ids_of_another_model():
    model = tiny.model("gpt_neox")
    model.resize_token_embeddings(280)
    with pytest.raises(ValueError, match=r"corpus must hold token ids of the model, 0\.\.279, got \d+"):
        capture(model, CORPUS, SITES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_gives_the_features_of_the_cpu():
    corpus, sites = CORPORA["bos"], {"layers.3": sae(24), "layers.1.mlp": neurons(24, "layers.1.mlp")}
    on_cpu = capture(tiny.model("gemma2"), corpus, sites, device="cpu")
    model = tiny.model("gemma2")
    on_gpu = capture(model, corpus, sites)
    assert model.device.type == "cuda"
    for site in sites:
        np.testing.assert_allclose(on_gpu[site].to_dense(), on_cpu[site].to_dense(), atol=1e-3, rtol=1e-3)
