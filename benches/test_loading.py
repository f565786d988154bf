"""Loading a wide checkpoint against safetensors' own load and one read of every byte."""

from time import perf_counter

import pytest
from safetensors.torch import load_file

import analogue as an

D, LATENTS, ROUNDS = 512, 65_536, 7


def sparsify(folder):
    from sparsify import SparseCoder, SparseCoderConfig

    SparseCoder(D, SparseCoderConfig(num_latents=LATENTS, k=32)).save_to_disk(folder)
    return folder / "sae.safetensors"


def saelens(folder):
    from sae_lens import SAE

    about = {"hook_name": "blocks.3.hook_resid_post"}
    SAE.from_dict({"architecture": "jumprelu", "d_in": D, "d_sae": LATENTS, "metadata": about}).save_model(folder)
    return folder / "sae_weights.safetensors"


def read(file):
    return [float(tensor.sum()) for tensor in load_file(file).values()]


def timed(function, *arguments):
    start = perf_counter()
    function(*arguments)
    return perf_counter() - start


@pytest.mark.parametrize("write", [sparsify, saelens])
def test_loading_costs_little_more_than_reading(benchmark, tmp_path, write):
    file = write(tmp_path)
    times = {read: [], an.load_dictionary: []}
    for _ in range(ROUNDS):  # in turn; the first warms the page cache
        for function, argument in ((read, file), (an.load_dictionary, tmp_path)):
            times[function].append(timed(function, argument))
    bare, ours = min(times[read]), min(times[an.load_dictionary])
    benchmark.pedantic(an.load_dictionary, (tmp_path,), rounds=1)
    benchmark.extra_info |= {"read": bare, "loaded": ours}
    print(f"\n{write.__name__}: {ours * 1e3:.1f} ms, read {bare * 1e3:.1f} ms: {ours / bare:.2f} (target 1.3)")
    assert an.load_dictionary(tmp_path).n_features == LATENTS
    assert ours <= 1.6 * bare
