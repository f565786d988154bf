"""FeatureActivations: building, canonical form, saving and reading back."""

import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analogue import FeatureActivations

dense_arrays = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 9), st.integers(1, 9)),
    elements=st.sampled_from([0.0, 0.0, 0.5, -1.25, 3.0]),
)


@given(dense_arrays)
def test_dense_round_trip(x):
    acts = FeatureActivations.from_dense(x)
    np.testing.assert_array_equal(acts.to_dense(), x)
    assert acts.nnz == np.count_nonzero(x)
    np.testing.assert_array_equal(acts.firing_counts, np.count_nonzero(x, axis=0))


@given(dense_arrays, st.randoms(use_true_random=False))
def test_csr_rows_may_be_unsorted_and_hold_zeros(x, random):
    indptr, indices, values = [0], [], []
    for row in x:
        columns = [c for c in range(len(row)) if row[c] or random.random() < 0.5]
        random.shuffle(columns)
        indices += columns
        values += row[columns].tolist()
        indptr.append(len(indices))
    acts = FeatureActivations.from_csr(
        np.array(indptr), np.array(indices, dtype=np.int64), np.array(values, dtype=np.float64), x.shape[1]
    )
    np.testing.assert_array_equal(acts.to_dense(), x)
    for start, end in zip(acts.indptr[:-1], acts.indptr[1:], strict=True):
        assert (np.diff(acts.indices[start:end]) > 0).all()


@given(dense_arrays, st.data())
def test_dense_columns(x, data):
    chosen = data.draw(st.lists(st.integers(0, x.shape[1] - 1), max_size=5))
    columns = FeatureActivations.from_dense(x).dense_columns(np.array(chosen, dtype=np.int64))
    np.testing.assert_array_equal(columns, x.T[chosen].reshape(len(chosen), len(x)))


def test_topk_drops_zeros():
    acts = FeatureActivations.from_topk([[2, 0], [1, 3]], [[1.0, 0.0], [2.0, 3.0]], 4, token_ids=[7, 8])
    np.testing.assert_array_equal(acts.to_dense(), [[0, 0, 1, 0], [0, 2, 0, 3]])
    np.testing.assert_array_equal(acts.token_ids, [7, 8])


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"n_features": 0}, ValueError, "n_features must be at least 1"),
        ({"n_features": 2.5}, TypeError, "n_features must be an integer"),
        ({"indptr": [0, 1]}, ValueError, "indptr must rise from 0 to the number of values"),
        ({"indptr": [0, 2, 1, 2]}, ValueError, "indptr must rise"),
        ({"indptr": []}, ValueError, "an empty array"),
        ({"indices": [0, 4]}, ValueError, r"indices must lie in 0\.\.3, got 0\.\.4"),
        ({"indices": [0, -1]}, ValueError, r"indices must lie in 0\.\.3"),
        ({"indices": [0.0, 1.5]}, TypeError, "indices must be convertible to int32"),
        ({"indices": [0, 2**40]}, ValueError, "indices must fit int32"),
        ({"indices": [[0, 1]]}, ValueError, "indices must have 1 dimension"),
        ({"indices": [1, 1]}, ValueError, "repeat a feature"),
        ({"values": [1.0, np.nan]}, ValueError, "values must be finite"),
        ({"values": [1.0, np.inf]}, ValueError, "values must be finite"),
        ({"values": [1.0, 1e60]}, ValueError, "beyond its range"),
        ({"values": [1.0]}, ValueError, "indices and values must have one length"),
        ({"token_ids": [1, 2, 3]}, ValueError, "token_ids must have one entry for each of the 1 tokens"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_bad_input_is_one_sentence(change, error, sentence):
    good = {"indptr": [0, 2], "indices": [0, 1], "values": [1.0, 2.0], "n_features": 4}
    with pytest.raises(error, match=sentence):
        FeatureActivations.from_csr(**good | change)


def make(tokens=31, features=17, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((tokens, features)) * (rng.random((tokens, features)) < 0.2)
    return FeatureActivations.from_dense(x, token_ids=rng.integers(0, 9, tokens), positions=np.arange(tokens))


def test_save_and_load(tmp_path):
    acts = make()
    acts.save(tmp_path / "acts")
    read = FeatureActivations.load(tmp_path / "acts")
    np.testing.assert_array_equal(read.to_dense(), acts.to_dense())
    np.testing.assert_array_equal(read.token_ids, acts.token_ids)
    assert read.document_ids is None
    with pytest.raises(FileExistsError):
        acts.save(tmp_path / "acts")
    make(seed=1).save(tmp_path / "acts", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["acts"]


def test_altered_shards_are_refused(tmp_path):
    make().save(tmp_path / "acts")
    values = tmp_path / "acts" / "values.npy"
    values.write_bytes(values.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"values\.npy was altered"):
        FeatureActivations.load(tmp_path / "acts")
    values.unlink()
    with pytest.raises(FileNotFoundError, match=r"values\.npy is missing"):
        FeatureActivations.load(tmp_path / "acts")
    (tmp_path / "acts" / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="must hold analogue"):
        FeatureActivations.load(tmp_path / "acts")
    (tmp_path / "acts" / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="must hold JSON"):
        FeatureActivations.load(tmp_path / "acts")
    with pytest.raises(FileNotFoundError):
        FeatureActivations.load(tmp_path / "nowhere")


def test_nothing_half_written_stays(tmp_path, monkeypatch):
    real_save, calls = np.save, []

    def failing_save(*args):
        calls.append(args)
        if len(calls) == 3:
            raise OSError("disk full")
        real_save(*args)

    monkeypatch.setattr(np, "save", failing_save)
    with pytest.raises(OSError, match="disk full"):
        make().save(tmp_path / "acts")
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 6), max_size=12))
def test_rows_are_taken_in_any_order(rows):
    dense = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.float32)
    acts = FeatureActivations.from_dense(dense, token_ids=np.arange(7) * 10)
    taken = acts.take(np.array(rows, dtype=np.int64))
    np.testing.assert_array_equal(taken.to_dense(), dense[rows])
    np.testing.assert_array_equal(taken.token_ids, np.array(rows) * 10)
    assert taken.document_ids is None
