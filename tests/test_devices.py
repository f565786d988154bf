"""Models that fit no single place, other dtypes, and memory that does not suffice: the same tokens, none lost."""

import json
import sys

import numpy as np
import pytest
import torch
import transformers

import architectures
import tiny
from analogue import ActivationShards, capture, load_side
from analogue.corpus import Corpus
from analogue.devices import is_out_of_memory, weights_in_memory
from analogue.dictionaries import neurons
from analogue.files import tree_sha256
from analogue.sites import neuron_directions

SITES = ("layers.1.mlp.neurons", "layers.2")
CORPUS = Corpus.from_texts(["a", tiny.TEXT, "the cat", tiny.TEXT[9:] + "<eos>"], tiny.tokenizer("bos"), 16)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a checkpoint with its tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tiny.model("llama").save_pretrained(folder)
    tiny.tokenizer("bos").save_pretrained(folder)
    return folder


SPREAD = {f"layers.{n}": place for n, place in enumerate(("cpu", "disk", "disk", "cpu"))}
SPREAD |= dict.fromkeys(("embed_tokens", "norm", "rotary_emb"), "cpu")


def features(side, **options):
    return capture(side.model, CORPUS, side.dictionaries, device="cpu", **options)


def assert_equal(one, other):
    assert list(one) == list(other)
    for site, acts in one.items():
        for name in ("indptr", "indices", "values", "token_ids", "document_ids", "positions"):
            np.testing.assert_array_equal(getattr(acts, name), getattr(other[site], name), err_msg=f"{site} {name}")


def test_weights_on_disk_are_the_weights_in_memory(saved):
    whole, _ = load_side(saved, sites=SITES)
    spread, _ = load_side(saved, sites=SITES, device_map=SPREAD)
    assert {weights.device.type for weights in spread.model.parameters()} == {"cpu", "meta"}
    pairs = zip(weights_in_memory(spread.model), weights_in_memory(whole.model), strict=True)
    assert all(one[0] == other[0] and torch.equal(one[1], other[1]) for one, other in pairs)
    assert list(dict(weights_in_memory(whole.model))) == list(whole.model.state_dict())
    for site in SITES:
        rows, same = spread.dictionaries[site].w_dec, whole.dictionaries[site].w_dec
        assert same is rows is None or torch.equal(rows, same)
    assert_equal(features(spread), features(whole))
    assert {weights.device.type for weights in spread.model.parameters()} == {"cpu", "meta"}


def test_a_capture_with_weights_on_disk_is_resumed_only_with_the_same(saved, tmp_path):
    spread, _ = load_side(saved, sites=SITES, device_map=SPREAD)
    features(spread, out=tmp_path / "acts")
    features(load_side(saved, sites=SITES)[0], out=tmp_path / "acts", resume=True)
    other = tiny.model("llama")
    with torch.no_grad():
        other.layers[1].mlp.down_proj.weight[0, 0] += 1e-3
    other.save_pretrained(tmp_path / "other")
    tiny.tokenizer("bos").save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="captured with another model"):
        features(load_side(tmp_path / "other", sites=SITES, device_map=SPREAD)[0], out=tmp_path / "acts", resume=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_models_are_encoded_in_float32(saved, dtype):
    side, _ = load_side(saved, sites=SITES, dtype=dtype, device_map="auto")
    assert {weights.dtype for weights in side.model.parameters()} == {getattr(torch, dtype)}
    half, full = features(side), features(load_side(saved, sites=SITES)[0])
    for site in SITES:
        assert half[site].values.dtype == np.float32
        difference = np.abs(half[site].to_dense() - full[site].to_dense()).max()
        assert 0 < difference < 0.1 * np.abs(full[site].values).max()
    assert side.dictionaries[SITES[0]].w_dec.dtype == torch.float32


def test_sites_by_the_names_of_others(saved):
    side, _ = load_side(saved, sites=["blocks.1.mlp.hook_post", "blocks.2.hook_resid_post"])
    assert list(side.dictionaries) == list(SITES)
    with pytest.raises(ValueError, match=r"the hook 'blocks\.1\.attn\.hook_k' has no site here"):
        load_side(saved, sites="blocks.1.attn.hook_k")


def test_of_an_encoder_with_a_decoder_the_encoder_is_loaded(tmp_path):
    whole = architectures.model("t5", "AutoModelForSeq2SeqLM", torch.float32)
    whole.save_pretrained(tmp_path)
    tiny.tokenizer("plain").save_pretrained(tmp_path)
    side, tokenizer = load_side(tmp_path, sites="layers.1.mlp.neurons")
    assert isinstance(side.model, transformers.T5EncoderModel)
    corpus = Corpus.from_texts([tiny.TEXT], tokenizer, 16)
    acts = capture(side.model, corpus, side.dictionaries, device="cpu")
    expected = whole.get_encoder()
    same = capture(expected, corpus, side.dictionaries, device="cpu")
    assert_equal(acts, same)
    torch.testing.assert_close(
        side.dictionaries["layers.1.mlp.neurons"].w_dec, neuron_directions(expected, "layers.1.mlp.neurons")
    )


def test_bad_arguments(saved, monkeypatch):
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16, got 'int8'"):
        load_side(saved, sites=SITES, dtype="int8")
    with pytest.raises(ValueError, match="cannot be loaded as a model with its tokenizer"):
        load_side(saved, sites=SITES, device_map="everywhere")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ValueError, match="device_map needs accelerate, which is not installed"):
        load_side(saved, sites=SITES, device_map="auto")


def limited(model, blocks, error):
    """The same model, on a machine that holds so many blocks at once; every batch that fits is noted."""
    fitted = []

    def allocate(module, args, kwargs):
        size = len(kwargs["input_ids"])
        if size > blocks:
            error()
        fitted.append(size)

    model.register_forward_pre_hook(allocate, with_kwargs=True)
    return fitted


def cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def cpu():
    torch.empty(1 << 60)  # what torch's own allocator raises


def python():
    bytearray(1 << 62)


@pytest.mark.parametrize(("error", "blocks", "batch_size"), [(cuda, 1, None), (cpu, 3, 8), (python, 2, 5)])
def test_batches_are_halved_until_they_fit(error, blocks, batch_size):
    sites = {"layers.2": neurons(24, "layers.2"), "layers.0.mlp": neurons(24, "layers.0.mlp")}
    model = tiny.model("llama")
    expected = capture(model, CORPUS, sites, batch_size=1, device="cpu")
    fitted, seen = limited(model, blocks, error), []
    acts = capture(model, CORPUS, sites, batch_size=batch_size, device="cpu", progress=lambda *step: seen.append(step))
    assert sum(fitted) == CORPUS.n_blocks + 1 - (~CORPUS.kept.any(axis=1)).sum() * (blocks == 1)
    assert max(fitted) <= blocks
    assert seen[-1] == (CORPUS.n_tokens, CORPUS.n_tokens)
    for site in sites:
        np.testing.assert_array_equal(acts[site].token_ids, expected[site].token_ids)
        np.testing.assert_array_equal(acts[site].positions, expected[site].positions)
        np.testing.assert_allclose(acts[site].to_dense(), expected[site].to_dense(), atol=2e-5)


def test_one_block_that_does_not_fit_is_said():
    model = tiny.model("llama")
    limited(model, 1, cuda)
    calls = []
    model.layers[2].register_forward_pre_hook(lambda *_: calls.append(1) or (cuda() if len(calls) > 1 else None))
    with pytest.raises(
        MemoryError, match=r"does not suffice for one block of \d+ tokens \(CUDA out of memory\. Tried to allocate 20"
    ) as raised:
        capture(model, CORPUS, {"layers.2": neurons(24, "layers.2")}, device="cpu")
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value.__cause__, torch.OutOfMemoryError)


def test_other_errors_are_not_taken_for_memory():
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    model, calls = tiny.model("llama"), []

    def broken(*_):
        calls.append(1)
        if len(calls) > 1:
            raise RuntimeError("device-side assert triggered")

    model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="assert triggered"):
        capture(model, CORPUS, {"layers.2": neurons(24, "layers.2")}, device="cpu")
    assert len(calls) == 2


def test_memory_that_does_not_suffice_in_the_middle_of_a_folder(tmp_path):
    """The shards of a capture whose batches were halved hold the same tokens, once each; it resumes from them."""
    sites = {"layers.2": neurons(24, "layers.2")}
    options = {"batch_size": 4, "device": "cpu", "shard_entries": 300}
    model = tiny.model("llama")
    expected = capture(model, CORPUS, sites, batch_size=4, device="cpu")["layers.2"]
    limited(model, 1, cuda)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture(model, CORPUS, sites, out=tmp_path / "acts", progress=stop, **options)
    capture(model, CORPUS, sites, out=tmp_path / "acts", resume=True, **options)
    capture(model, CORPUS, sites, out=tmp_path / "whole", **options)
    assert tree_sha256(tmp_path / "acts") == tree_sha256(tmp_path / "whole")
    acts = ActivationShards.load(tmp_path / "acts" / "layers.2").to_activations()
    np.testing.assert_array_equal(acts.token_ids, expected.token_ids)
    np.testing.assert_allclose(acts.to_dense(), expected.to_dense(), atol=2e-5)


def test_the_command_line_takes_both(saved, tmp_path, run):
    (tmp_path / "text.txt").write_text(tiny.TEXT * 4)
    command = [
        "compare",
        saved,
        saved,
        "--text",
        tmp_path / "text.txt",
        "--permutations",
        10,
        "--out",
        tmp_path / "run",
    ]
    command += ["--site-a", "blocks.2.hook_resid_post", "--site-b", "layers.2", "--min-activations", 1, "--junk", "off"]
    status, _, error = run(*command, "--dtype", "bfloat16", "--device-map", "auto")
    assert status == 0, error
    arguments = json.loads((tmp_path / "run" / "manifest.json").read_text())["arguments"]
    assert (arguments["dtype"], arguments["device_map"]) == ("bfloat16", "auto")
    status, _, error = run(*command, "--overwrite", "--dtype", "int8")
    assert (status, error) == (2, "analogue: dtype must be one of float32, bfloat16, float16, got 'int8'\n")
