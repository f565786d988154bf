"""Capture of every site of a model, against one bare forward pass and the encoders on the same vectors.

In seconds of one CPU, one thread: on a shared machine the clock measures the others.
"""

from statistics import median
from time import process_time

import numpy as np
import pytest
import torch
import transformers

import tiny
from analogue.capture import capture
from analogue.corpus import Corpus
from analogue.dictionaries.autoencoder import SparseAutoencoder, TopK
from analogue.forward import site_outputs
from analogue.sites import available_sites, find_site

WIDTH, LAYERS, LENGTH, BLOCKS, BATCH = 384, 4, 128, 32, 16
LATENTS, K = 384, 8


def model():
    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=330,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
    )
    return transformers.AutoModel.from_config(config).eval()


def sae(width):
    weights = torch.randn(LATENTS, width, generator=torch.Generator().manual_seed(1))
    zeros = {"b_enc": torch.zeros(LATENTS), "b_dec": torch.zeros(width), "b_pre": None}
    return SparseAutoencoder(format="sparsify", w_dec=weights, w_enc=weights, nonlinearity=TopK(K), **zeros)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def timed(function):
    start = process_time()
    result = function()
    return process_time() - start, result


def test_every_site_of_a_model_in_one_pass():
    network = model()
    corpus = Corpus.from_texts([tiny.TEXT * 8] * BLOCKS, tiny.tokenizer("plain"), LENGTH, max_tokens=LENGTH * BLOCKS)
    arrays = [torch.from_numpy(values) for values in (corpus.token_ids, corpus.attention_mask, corpus.kept)]
    batches = list(zip(*(values.split(BATCH) for values in arrays), strict=True))
    sites = {name: find_site(network, name) for name in available_sites(network)}
    rows = [site_outputs(network, sites, *batch) for batch in batches]
    dictionaries = {site: sae(vectors.shape[1]) for site, vectors in rows[0].items()}

    def bare():
        with torch.inference_mode():
            for ids, attention, _ in batches:
                network(input_ids=ids, attention_mask=attention, use_cache=False)

    def encoded():
        return {site: [dictionaries[site].encode_sparse(part[site]) for part in rows] for site in sites}

    def whole():
        return capture(network, corpus, dictionaries, batch_size=BATCH, device="cpu")

    ratios = []
    for _ in range(3):
        (forward, _), (encoders, codes), (seconds, acts) = timed(bare), timed(encoded), timed(whole)
        ratios.append((seconds - encoders) / forward)
    print(
        f"\ncapture of {len(sites)} sites less their encoders: {median(ratios):.2f} x a bare forward pass "
        f"({min(ratios):.2f}-{max(ratios):.2f}, target 1.25; forward {forward:.2f} s, encoders {encoders:.2f} s)"
    )
    for site in sites:
        np.testing.assert_array_equal(acts[site].values, np.concatenate([values for _, _, values in codes[site]]))
    assert median(ratios) <= 1.35
