"""The small TopK trainer: it finds planted directions, repeats to the bit, and says how long it will take."""

import numpy as np
import pytest
import torch

from analogue.training import train_topk


def planted(n, d=24, F=40, k=3, seed=0):
    """Rows that are sums of ``k`` of ``F`` unit directions, with positive weights and a mean that is not zero."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(F, d, generator=generator), dim=1)
    ids = torch.rand(n, F, generator=generator).argsort(dim=1)[:, :k]
    weights = 1 + torch.rand(n, k, generator=generator)
    return (weights[..., None] * directions[ids]).sum(1) + 0.3, directions


def test_planted_directions_are_found():
    x, directions = planted(20_000)
    sae = train_topk(x, 64, 3, tokens=600_000)
    decoded = sae.decode(sae.encode(x))
    assert 1 - float((x - decoded).square().sum() / (x - x.mean(0)).square().sum()) > 0.9
    best = (sae.w_dec @ directions.T).max(dim=0).values
    assert float((best > 0.9).float().mean()) > 0.8
    np.testing.assert_allclose(sae.w_dec.norm(dim=1), 1, rtol=1e-5)
    assert (sae.encode(x) != 0).sum(1).max() <= 3
    assert (sae.format, sae.promised_l0, sae.n_features, sae.d_in) == ("trained", 3.0, 64, 24)


def test_a_seed_repeats_to_the_bit_and_leaves_the_global_generator_alone():
    x, _ = planted(500)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (train_topk(x, 16, 2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.w_enc, again.w_enc)
    assert not torch.equal(first.w_enc, other.w_enc)


def test_the_estimate_is_told_before_most_of_the_work():
    x, _ = planted(3000)
    told = []
    train_topk(x, 16, 2, tokens=30_000, progress=lambda *step: told.append(step))
    stage, done, total = told[0]
    assert stage.startswith("training, about ")
    assert done <= 0.25 * total
    assert told[-1][1:] == (30_000, 30_000)
    assert {name for name, _, _ in told} == {stage}


@pytest.mark.parametrize("latents", [1, 7, 63])
@pytest.mark.parametrize("n", [2, 7, 257])
def test_odd_sizes(n, latents):
    x, _ = planted(n)
    sae = train_topk(x, latents, 1)
    assert sae.encode(x).isfinite().all()


def test_bad_input_gets_one_sentence():
    x, _ = planted(20)
    with pytest.raises(TypeError, match="x must be a torch tensor"):
        train_topk(x.numpy(), 4, 1)
    with pytest.raises(ValueError, match="at least 2 tokens"):
        train_topk(x[:1], 4, 1)
    with pytest.raises(ValueError, match="k must be at most latents, 4, got 5"):
        train_topk(x, 4, 5)
    with pytest.raises(ValueError, match="x must be finite"):
        train_topk(x.where(x != x[3, 3], torch.nan), 4, 1)
    with pytest.raises(ValueError, match="x must have rows that differ"):
        train_topk(torch.ones(5, 3), 4, 1)
