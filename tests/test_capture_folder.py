"""A capture that writes shards: the arrays of one in memory; killed and resumed, to the bit; refused otherwise."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from analogue import ActivationShards
from analogue.capture import capture
from analogue.corpus import Corpus
from analogue.dictionaries import neurons
from analogue.dictionaries.autoencoder import JumpReLU, SparseAutoencoder, TopK
from analogue.files import tree_sha256

SITES = ("layers.2", "layers.0.mlp")


def sae(nonlinearity, features=64, width=24):
    weights = torch.randn(features, width, generator=torch.Generator().manual_seed(1))
    return SparseAutoencoder(
        format="sparsify",
        w_dec=weights,
        w_enc=weights,
        b_enc=torch.zeros(features),
        b_pre=None,
        b_dec=torch.zeros(width),
        nonlinearity=nonlinearity,
    )


def inputs(**changed):
    made = {
        "model": tiny.model("gpt_neox"),
        "corpus": Corpus.from_texts(["a", tiny.TEXT, "the cat", tiny.TEXT[9:] + "<eos>"], tiny.tokenizer("plain"), 16),
        "sites": {"layers.2": sae(TopK(5)), "layers.0.mlp": neurons(24, "layers.0.mlp")},
        "batch_size": 2,
        "device": "cpu",
        "shard_entries": 200,
    }
    return made | changed


def in_memory():
    return capture(**{name: value for name, value in inputs().items() if name != "shard_entries"})


def assert_same(shards, acts):
    whole = shards.to_activations()
    for name in ("indptr", "indices", "values", "token_ids", "document_ids", "positions"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(acts, name), err_msg=name)


def test_the_arrays_of_a_capture_in_memory(tmp_path):
    captured, expected = capture(**inputs(), out=tmp_path / "acts"), in_memory()
    assert list(captured) == list(expected)
    for site, shards in captured.items():
        assert isinstance(shards, ActivationShards)
        assert shards.n_shards >= 3
        assert_same(shards, expected[site])
        assert_same(ActivationShards.load(tmp_path / "acts" / site), expected[site])
    assert {child.name for child in (tmp_path / "acts").iterdir()} == {"capture.json", *expected}


def test_a_finished_capture_is_not_run_again(tmp_path):
    capture(**inputs(), out=tmp_path / "acts")
    before, model = tree_sha256(tmp_path / "acts"), tiny.model("gpt_neox")
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    again = capture(**inputs(model=model), out=tmp_path / "acts", resume=True)
    assert len(calls) == 1  # the width check
    assert tree_sha256(tmp_path / "acts") == before
    assert list(again) == ["layers.2", "layers.0.mlp"]


class Stop(Exception):  # noqa: N818
    """What interrupts a capture that stays in this process."""


def stop_after(tokens):
    def progress(done, total):
        if done >= tokens:
            raise Stop

    return progress


def stopped(path, tokens=60):
    with pytest.raises(Stop):
        capture(**inputs(progress=stop_after(tokens)), out=path)


def test_every_site_goes_on_from_its_own_last_shard(tmp_path):
    capture(**inputs(), out=tmp_path / "whole")
    total = inputs()["corpus"].n_tokens
    resumed = set()
    for tokens in range(1, total, 20):
        path = tmp_path / str(tokens)
        stopped(path, tokens)
        resumed.add(tuple(len(list((path / site).glob("shard-*"))) for site in SITES))
        seen = []
        capture(**inputs(progress=lambda *step, seen=seen: seen.append(step)), out=path, resume=True)
        assert seen[-1] == (total, total)
        assert tree_sha256(path) == tree_sha256(tmp_path / "whole")
    assert len(resumed) > 3
    assert any(one != two for one, two in resumed)


def test_one_site_finished_and_the_other_not(tmp_path):
    """A kill between the two last renames; the finished site is left alone."""
    capture(**inputs(), out=tmp_path / "whole")
    capture(**inputs(), out=tmp_path / "acts")
    store = tmp_path / "acts" / "layers.0.mlp"
    (store / "manifest.json").unlink()
    sorted(store.glob("shard-*"))[-1].rename(store / ".shard-00077")
    capture(**inputs(), out=tmp_path / "acts", resume=True)
    assert tree_sha256(tmp_path / "acts") == tree_sha256(tmp_path / "whole")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_capture_folder as here
from analogue import capture

out, fatal = Path(sys.argv[2]), int(sys.argv[3])
named = 0

def kill(event, arguments):
    global named
    if event == "os.rename" and "shard-" in str(arguments[1]):
        named += 1
        if named == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
capture(**here.inputs(), out=out, resume=True)
"""


def child(out, fatal):
    """Go on with a capture in a process that kills itself as it gives its nth shard a name; 0: never."""
    code = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(out), str(fatal)]
    return subprocess.run(code, capture_output=True, text=True, env=os.environ)


def test_killed_and_resumed_in_other_processes(tmp_path):
    """SIGKILL in the middle, once more on the way on, and a third process that ends: arrays equal to the bit."""
    assert child(tmp_path / "acts", 5).returncode == -signal.SIGKILL
    with pytest.raises((FileNotFoundError, ValueError), match="unfinished"):
        ActivationShards.load(tmp_path / "acts" / "layers.2")
    assert len(list((tmp_path / "acts").glob("*/shard-*"))) == 4
    assert len(list((tmp_path / "acts").glob("*/.shard-*"))) >= 1
    assert child(tmp_path / "acts", 2).returncode == -signal.SIGKILL
    assert len(list((tmp_path / "acts").glob("*/shard-*"))) == 5
    last = child(tmp_path / "acts", 0)
    assert last.returncode == 0, last.stderr
    capture(**inputs(), out=tmp_path / "whole")
    assert tree_sha256(tmp_path / "acts") == tree_sha256(tmp_path / "whole")
    for site, acts in in_memory().items():
        assert_same(ActivationShards.load(tmp_path / "acts" / site), acts)


def another_model():
    model = tiny.model("gpt_neox")
    with torch.no_grad():
        model.layers[3].mlp.dense_h_to_4h.weight[0, 0] += 1e-3
    return model


def another_config():
    model = tiny.model("gpt_neox")
    model.config.layer_norm_eps *= 2
    return model


def sites(first, **changed):
    return {"layers.2": replace(sae(TopK(5)), **changed) if first is None else first, **LAST}


LAST = {"layers.0.mlp": neurons(24, "layers.0.mlp")}
OTHERS = [
    (lambda: {"model": another_model()}, "another model; it"),
    (lambda: {"model": another_config()}, "another model; it"),
    (lambda: {"corpus": Corpus.from_texts([tiny.TEXT], tiny.tokenizer("plain"), 16)}, "another corpus; it"),
    (lambda: {"corpus": replace(inputs()["corpus"], keep_special=True)}, "another corpus; it"),
    (lambda: {"sites": sites(sae(TopK(4)))}, "another set of sites and dictionaries; it"),
    (lambda: {"sites": sites(sae(JumpReLU(torch.zeros(64))))}, "another set of sites and dictionaries; it"),
    (lambda: {"sites": sites(None, b_enc=torch.full((64,), 1e-3))}, "another set of sites and dictionaries; it"),
    (lambda: {"sites": LAST}, "another set of sites and dictionaries; it"),
    (lambda: {"batch_size": 3}, "another batch size; it"),
    (lambda: {"batch_size": 3, "sites": LAST}, "another set of sites and dictionaries and another batch size; it"),
]


@pytest.mark.parametrize(("other", "sentence"), OTHERS)
def test_another_capture_is_not_resumed(tmp_path, other, sentence):
    stopped(tmp_path / "acts")
    before = tree_sha256(tmp_path / "acts")
    with pytest.raises(ValueError, match=f"was captured with {sentence} cannot be resumed"):
        capture(**inputs(**other()), out=tmp_path / "acts", resume=True)
    assert tree_sha256(tmp_path / "acts") == before


def test_what_does_not_change_the_numbers_may_change(tmp_path):
    """The name of the model's folder, the order of the sites, the size of the shards that are still to come."""
    stopped(tmp_path / "acts")
    model, expected = tiny.model("gpt_neox"), in_memory()
    model.config._name_or_path = "elsewhere"
    changed = inputs(model=model, shard_entries=300, sites=dict(reversed(inputs()["sites"].items())))
    for site, shards in capture(**changed, out=tmp_path / "acts", resume=True).items():
        assert_same(shards, expected[site])


def test_out_is_claimed_with_care(tmp_path):
    capture(**inputs(), out=tmp_path / "acts")
    before = tree_sha256(tmp_path / "acts")
    with pytest.raises(FileExistsError, match="exists already; choose another folder, or pass resume or overwrite"):
        capture(**inputs(), out=tmp_path / "acts")
    with pytest.raises(ValueError, match="overwrite and resume must not both be true"):
        capture(**inputs(), out=tmp_path / "acts", overwrite=True, resume=True)
    with pytest.raises(ValueError, match="out must name a folder for resume or overwrite, got None"):
        capture(**inputs(), resume=True)
    with pytest.raises(FileExistsError, match="holds something else than a capture"):
        capture(**inputs(), out=tmp_path, overwrite=True)
    assert tree_sha256(tmp_path / "acts") == before
    capture(**inputs(sites=LAST), out=tmp_path / "acts", overwrite=True)
    assert {child.name for child in (tmp_path / "acts").iterdir()} == {"capture.json", "layers.0.mlp"}
    (tmp_path / "acts" / "capture.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match=r"capture\.json must hold analogue\.capture/1"):
        capture(**inputs(sites=LAST), out=tmp_path / "acts", resume=True)
    with pytest.raises(ValueError, match=r"max_entries must be at least n_features \(64\)"):
        capture(**inputs(shard_entries=63), out=tmp_path / "small")
