"""ActivationShards: the same rows for any pieces and shards; whole or refused; killed and resumed; small in memory."""

import json
import shutil
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analogue import ActivationShards, FeatureActivations
from analogue.files import tree_sha256

PER_TOKEN = ("token_ids", "document_ids", "positions")


def make(tokens, features, density=0.2, seed=0, per_token=PER_TOKEN):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tokens, features)) * (rng.random((tokens, features)) < density)
    return FeatureActivations.from_dense(x, **{name: rng.integers(0, 99, tokens) for name in per_token})


def assert_same(one, two):
    assert one.n_features == two.n_features
    for name in ("indptr", "indices", "values", *PER_TOKEN):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def write(path, acts, borders, max_entries, **options):
    with ActivationShards.writer(path, acts.n_features, max_entries, **options) as writer:
        for start, stop in zip([0, *borders], [*borders, acts.n_tokens], strict=True):
            writer.append(acts.rows(start, stop))
    return ActivationShards.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that hypothesis empties for every example."""
    return tmp_path_factory.mktemp("shards") / "acts"


stores = st.builds(
    make,
    st.sampled_from([0, 1, 7, 63, 257]) | st.integers(0, 40),
    st.sampled_from([1, 7, 63]),
    st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    st.integers(0, 9),
    st.sampled_from([(), ("token_ids",), PER_TOKEN]),
)


@given(stores, st.data())
def test_any_pieces_and_any_shards_give_the_same_rows(folder, acts, data):
    rows = st.integers(0, acts.n_tokens)
    borders = sorted(data.draw(st.lists(rows, max_size=5)))
    max_entries = acts.n_features + acts.n_tokens // 4 + data.draw(st.sampled_from([0, 1, 5, 1000]))
    shards = write(folder, acts, borders, max_entries, overwrite=True)

    assert (shards.n_tokens, shards.nnz, shards.n_features) == (acts.n_tokens, acts.nnz, acts.n_features)
    assert_same(shards.to_activations(), acts)
    np.testing.assert_array_equal(shards.firing_counts, acts.firing_counts)
    assert shards.firing_counts.dtype == np.int64
    for name in PER_TOKEN:
        ours, whole = getattr(shards, name), getattr(acts, name)
        assert (ours is None) == (whole is None)
        if whole is not None:
            np.testing.assert_array_equal(ours, whole)

    assert shards.offsets[0] == 0
    assert shards.offsets[-1] == acts.n_tokens
    assert len(shards.offsets) == shards.n_shards + 1 == len(list(shards)) + 1
    for start, stop, shard in zip(shards.offsets[:-1], shards.offsets[1:], shards, strict=True):
        assert_same(shard, acts.rows(int(start), int(stop)))
        assert shard.nnz <= max_entries
        assert shard.n_tokens <= max(1, max_entries // 4)
    start, stop = sorted((data.draw(rows), data.draw(rows)))
    assert_same(shards.rows(start, stop), acts.rows(start, stop))


@given(stores, st.data())
def test_the_pieces_do_not_decide_where_shards_are_cut(folder, acts, data):
    borders = sorted(data.draw(st.lists(st.integers(0, acts.n_tokens), max_size=5)))
    max_entries = acts.n_features + acts.n_tokens // 4 + data.draw(st.integers(0, 50))
    write(folder, acts, [], max_entries, overwrite=True)
    at_once = tree_sha256(folder)
    write(folder, acts, borders, max_entries, overwrite=True)
    assert tree_sha256(folder) == at_once


@given(stores, st.data())
def test_rows_of_activations(acts, data):
    start, stop = sorted(data.draw(st.lists(st.integers(0, acts.n_tokens), min_size=2, max_size=2)))
    part = acts.rows(start, stop)
    np.testing.assert_array_equal(part.to_dense(), acts.to_dense()[start:stop])
    if part.nnz:
        assert np.shares_memory(part.values, acts.values)
    for name in PER_TOKEN:
        if getattr(acts, name) is not None:
            np.testing.assert_array_equal(getattr(part, name), getattr(acts, name)[start:stop])


def test_a_shard_is_what_save_writes(tmp_path):
    acts = make(63, 17)
    ActivationShards.from_activations(acts, tmp_path / "shards")
    acts.save(tmp_path / "whole")
    assert tree_sha256(tmp_path / "shards" / "shard-00000") == tree_sha256(tmp_path / "whole")


def test_shards_are_mapped_and_let_go(tmp_path):
    shards = write(tmp_path / "acts", make(100, 17), [], 40)
    assert shards.n_shards > 5
    begin, end = map(int, shards.offsets[2:4])
    for acts in (shards.shard(0), next(iter(shards)), shards.rows(begin, end), shards.rows(begin, end - 1)):
        assert isinstance(acts.indices, np.memmap)
        assert isinstance(acts.values, np.memmap)
        assert isinstance(acts.token_ids, np.memmap)
        assert not acts.values.flags.writeable
    assert not isinstance(shards.rows(begin, end + 1).values, np.memmap)
    assert not isinstance(shards.to_activations().values, np.memmap)
    first = shards.shard(0)
    assert first.values.ctypes.data % 64 == 0  # a page, then numpy's header of 128 bytes
    opened = Path("/proc/self/fd")
    if opened.is_dir():
        before = len(list(opened.iterdir()))
        list(map(len, (shards.firing_counts, shards.token_ids, shards.to_activations().values)))
        assert len(list(opened.iterdir())) == before


def test_per_token_arrays_are_read_when_asked_for(tmp_path):
    shards = write(tmp_path / "acts", make(50, 9), [], 20)
    assert not {"token_ids", "document_ids", "positions", "firing_counts"} & set(vars(shards))
    assert shards.token_ids is shards.token_ids
    assert "document_ids" not in vars(shards)


def test_a_store_without_pieces_is_empty(tmp_path):
    with ActivationShards.writer(tmp_path / "acts", 5):
        pass
    shards = ActivationShards.load(tmp_path / "acts")
    assert (shards.n_shards, shards.n_tokens, shards.nnz, shards.token_ids) == (0, 0, 0, None)
    assert shards.rows(0, 0).to_dense().shape == shards.to_activations().to_dense().shape == (0, 5)
    assert shards.offsets.tolist() == [0]
    assert shards.firing_counts.tolist() == [0] * 5


# Damage


def damaged(tmp_path, damage):
    shards = write(tmp_path / "acts", make(60, 9), [], 30)
    assert shards.n_shards > 3
    damage(tmp_path / "acts")
    return shards


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def shorten(file):
    file.write_bytes(file.read_bytes()[:-8])


def edit(change):
    def damage(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return damage


def swap(folder):
    (folder / "shard-00001").rename(folder / "other")
    (folder / "shard-00002").rename(folder / "shard-00001")
    (folder / "other").rename(folder / "shard-00002")


DAMAGES = {
    "altered": (lambda f: flip(f / "shard-00001/values.npy"), ValueError, r"values\.npy was altered or cut short"),
    "truncated": (lambda f: shorten(f / "shard-00001/indices.npy"), ValueError, r"indices\.npy was altered or cut"),
    "empty": (lambda f: (f / "shard-00001/indptr.npy").write_bytes(b""), ValueError, r"indptr\.npy was altered"),
    "no array": (lambda f: (f / "shard-00001/token_ids.npy").unlink(), FileNotFoundError, r"token_ids\.npy is missing"),
    "manifest": (lambda f: flip(f / "shard-00001/manifest.json"), ValueError, r"manifest\.json was altered"),
    "no shard": (
        lambda f: shutil.rmtree(f / "shard-00001"),
        FileNotFoundError,
        r"shard-00001.manifest\.json is missing, though .*manifest\.json lists it",
    ),
    "swapped": (swap, ValueError, r"shard-00001.manifest\.json was altered"),
    "tokens": (
        edit(lambda m: m["shards"][1].update(n_tokens=99)),
        ValueError,
        r"shard-00001 must hold 99 tokens and \d+ entries, as .* says, got",
    ),
    "width": (edit(lambda m: m.update(n_features=10)), ValueError, "must hold 10 features as its store does, got 9"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_shard_is_refused(tmp_path, name):
    damage, error, sentence = DAMAGES[name]
    damaged(tmp_path, damage)
    for read in (
        lambda shards: shards.shard(1),
        lambda shards: shards.to_activations(),
        lambda shards: shards.rows(*map(int, shards.offsets[1:3])),
        lambda shards: shards.firing_counts,
    ):
        with pytest.raises(error, match=sentence) as raised:
            read(ActivationShards.load(tmp_path / "acts"))
        assert "\n" not in str(raised.value)
    with pytest.raises(error, match=sentence if name != "width" else "n_features must be 10"):
        ActivationShards.writer(tmp_path / "acts", 9, resume=True)


def test_hashes_are_compared_once(tmp_path, monkeypatch):
    shards = write(tmp_path / "acts", make(60, 9), [], 30)
    import analogue.activations

    hashed, real = [], analogue.activations.sha256
    monkeypatch.setattr(analogue.activations, "sha256", lambda file: hashed.append(file) or real(file))
    shards = ActivationShards.load(tmp_path / "acts")
    assert hashed == []
    shards.shard(2)
    assert {file.parent.name for file in hashed} == {"shard-00002"}
    for _ in range(2):
        list(shards)
    assert len(hashed) == len(set(hashed)) == 6 * shards.n_shards


MANIFESTS = [
    ("{", ValueError, "must hold JSON"),
    ("[1]", ValueError, r"must hold analogue\.shards/1, got None"),
    ('{"format": "other"}', ValueError, r"must hold analogue\.shards/1, got 'other'"),
    ('{"format": "analogue.shards/1"}', ValueError, "must give n_features and shards with name, n_tokens, nnz, sha"),
    ('{"format": "analogue.shards/1", "n_features": 2, "shards": [{}]}', ValueError, "must give n_features and"),
]


@pytest.mark.parametrize(("text", "error", "sentence"), MANIFESTS)
def test_a_bad_manifest_is_one_sentence(tmp_path, text, error, sentence):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(error, match=sentence):
        ActivationShards.load(tmp_path)


def test_each_loader_names_the_other(tmp_path):
    acts = make(9, 4)
    acts.save(tmp_path / "whole")
    ActivationShards.from_activations(acts, tmp_path / "shards")
    with pytest.raises(ValueError, match=r"holds activations in shards; read it with ActivationShards\.load"):
        FeatureActivations.load(tmp_path / "shards")
    with pytest.raises(ValueError, match=r"got 'analogue\.activations/1'; read it with FeatureActivations\.load"):
        ActivationShards.load(tmp_path / "whole")
    with pytest.raises(FileNotFoundError, match=r"holds no shards: it has no manifest\.json"):
        ActivationShards.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no shards"):
        ActivationShards.load(tmp_path / "nowhere")


# Unfinished stores


def begin(path, acts, tokens, max_entries):
    """A store whose writer met an error after some tokens."""
    with suppress(KeyboardInterrupt), ActivationShards.writer(path, acts.n_features, max_entries) as writer:
        writer.append(acts.rows(0, tokens))
        raise KeyboardInterrupt


def test_an_unfinished_store_is_refused_or_continued(tmp_path):
    acts, path = make(80, 9), tmp_path / "acts"
    begin(path, acts, 50, 30)
    assert all(child.name.startswith("shard-") for child in path.iterdir())  # nothing half-written
    with pytest.raises(ValueError, match=r"is unfinished: its manifest\.json.*go on with .*resume=True"):
        ActivationShards.load(path)
    with pytest.raises(FileExistsError, match="exists already; choose another folder, or pass resume or overwrite"):
        ActivationShards.writer(path, 9, 30)
    with ActivationShards.writer(path, 9, 30, resume=True) as writer:
        assert 0 < writer.n_tokens < 50
        writer.append(acts.rows(writer.n_tokens, 80))
        assert writer.n_tokens == 80
    assert_same(ActivationShards.load(path).to_activations(), acts)
    write(tmp_path / "at once", acts, [], 30)
    assert tree_sha256(path) == tree_sha256(tmp_path / "at once")


@pytest.mark.parametrize("name", ["altered", "truncated", "empty", "no array", "no shard"])
def test_resuming_goes_back_to_the_last_whole_shard(tmp_path, name):
    acts, path = make(80, 9), tmp_path / "acts"
    begin(path, acts, 70, 30)
    DAMAGES[name][0](path)
    (path / ".shard-00009").mkdir()
    (path / ".shard-00009" / "indptr.npy").write_bytes(b"half")
    with ActivationShards.writer(path, 9, 30, resume=True) as writer:
        assert [child.name for child in path.iterdir()] == ["shard-00000"]
        writer.append(acts.rows(writer.n_tokens, 80))
    write(tmp_path / "at once", acts, [], 30)
    assert tree_sha256(path) == tree_sha256(tmp_path / "at once")


def test_a_finished_store_is_extended(tmp_path):
    acts, path = make(80, 9), tmp_path / "acts"
    write(path, acts.rows(0, 33), [], 30)
    before = tree_sha256(path)
    with ActivationShards.writer(path, 9, 30, resume=True) as writer:
        assert writer.n_tokens == 33
    assert tree_sha256(path) == before
    with ActivationShards.writer(path, 9, 30, resume=True) as writer:
        writer.append(acts.rows(33, 50))
        with pytest.raises(ValueError, match="unfinished"):
            ActivationShards.load(path)
        writer.append(acts.rows(50, 80))
    assert_same(ActivationShards.load(path).to_activations(), acts)


def test_resume_begins_where_there_is_nothing(tmp_path):
    acts = make(8, 9)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert_same(write(tmp_path / name, acts, [], 30, resume=True).to_activations(), acts)


def test_overwrite(tmp_path):
    one, two = make(50, 9), make(20, 8, seed=1)
    write(tmp_path / "acts", one, [], 30)
    assert_same(ActivationShards.from_activations(two, tmp_path / "acts", overwrite=True).to_activations(), two)
    assert [child.name for child in tmp_path.iterdir()] == ["acts"]


ACTS = make(6, 4)
BAD = [
    (lambda p: ActivationShards.writer(p, 0), ValueError, "n_features must be at least 1"),
    (
        lambda p: ActivationShards.writer(p, 4, 3),
        ValueError,
        r"max_entries must be at least n_features \(4\), .* got 3",
    ),
    (lambda p: ActivationShards.writer(p, 4, 2.5), TypeError, "max_entries must be an integer, got 2.5"),
    (lambda p: ActivationShards.writer(p, 4, overwrite=True, resume=True), ValueError, "must not both be true"),
    (lambda p: ActivationShards.writer(p.parent / "file", 4, resume=True), FileExistsError, "is a file, not a folder"),
    (
        lambda p: ActivationShards.writer(p.parent, 4, overwrite=True),
        FileExistsError,
        "holds something else than shards",
    ),
    (lambda p: ActivationShards.writer(p.parent, 4, resume=True), FileExistsError, "holds something else than shards"),
    (lambda p: write(p, ACTS, [], 9).shard(9), IndexError, "index must be below the number of shards"),
    (lambda p: write(p, ACTS, [], 9).rows(2, 7), ValueError, r"start and stop must rise within 0\.\.6, got 2 and 7"),
    (lambda p: write(p, ACTS, [], 9).rows(3, 2), ValueError, r"start and stop must rise within 0\.\.6, got 3 and 2"),
    (lambda p: ACTS.rows(-1, 2), ValueError, "start must be at least 0, got -1"),
    (lambda p: ACTS.rows(0, 2.0), TypeError, "stop must be an integer, got 2.0"),
    (lambda p: ActivationShards.from_activations(np.eye(3), p), TypeError, "acts must be FeatureActivations, got nda"),
    (lambda p: append(p, np.eye(4)), TypeError, "acts must be FeatureActivations, got ndarray"),
    (lambda p: append(p, make(3, 5)), ValueError, "acts must have 4 features, as the store has, got 5"),
    (
        lambda p: append(p, make(3, 4, per_token=("positions",))),
        ValueError,
        r"per-token arrays of the pieces before \(token_ids, document_ids, positions\), got positions",
    ),
    (lambda p: resume_as(p, 5), ValueError, "n_features must be 4, as .* has, got 5"),
]


def append(path, acts):
    with ActivationShards.writer(path, 4) as writer:
        writer.append(ACTS)
        writer.append(acts)


def resume_as(path, width):
    """An unfinished store of another width: nothing of it may go."""
    begin(path, make(50, 4), 50, 9)
    before = tree_sha256(path)
    try:
        ActivationShards.writer(path, width, resume=True)
    finally:
        assert tree_sha256(path) == before


@pytest.mark.parametrize(("call", "error", "sentence"), BAD)
def test_bad_input_is_one_sentence(tmp_path, call, error, sentence):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(error, match=sentence) as raised:
        call(tmp_path / "acts")
    assert "\n" not in str(raised.value)
    assert (tmp_path / "file").read_text() == "mine"


# Processes of their own


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_at_every_step_and_resumed(tmp_path):
    """SIGKILL at the 1st, 2nd, ... file operation of the writer: what is there then is refused, or continued."""
    pytest.importorskip("fcntl", reason="needs fork")
    acts = make(80, 9)
    acts.save(tmp_path / "acts")
    write(tmp_path / "whole", acts, [], 90)
    code = """
        import os, shutil, signal, sys
        from pathlib import Path
        from analogue import ActivationShards, FeatureActivations
        from analogue.files import tree_sha256

        folder = Path(sys.argv[1])
        acts, path = FeatureActivations.load(folder / "acts"), folder / "killed"

        def go_on():
            with ActivationShards.writer(path, 9, 90, resume=True) as writer:
                start = writer.n_tokens
                for token in range(start, 80, 7):
                    writer.append(acts.rows(token, min(token + 7, 80)))
            return start

        def kill_at(step):
            steps = 0
            def hook(event, arguments):
                nonlocal steps
                if event in ("open", "os.rename", "os.mkdir", "os.remove") and str(path) in str(arguments[0]):
                    steps += 1
                    if steps == step:
                        os.kill(os.getpid(), signal.SIGKILL)
            sys.addaudithook(hook)

        expected, killed, starts = tree_sha256(folder / "whole"), 0, set()
        while True:
            shutil.rmtree(path, ignore_errors=True)
            if not (child := os.fork()):
                kill_at(killed + 1)
                go_on()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if status == 0:
                break
            assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status
            killed += 1
            if not (path / "manifest.json").exists():
                try:
                    ActivationShards.load(path)
                except (FileNotFoundError, ValueError):
                    pass
                else:
                    raise AssertionError(f"unfinished and read, killed at step {killed}")
            starts.add(go_on())
            assert tree_sha256(path) == expected, killed
        print(killed, len(starts))
    """
    killed, starts = map(int, run(code, tmp_path).split())
    n_shards = ActivationShards.load(tmp_path / "whole").n_shards
    assert n_shards >= 3
    assert killed > 10 * n_shards
    assert starts >= n_shards


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads RssAnon")
def test_the_writer_holds_one_piece(tmp_path):
    """200 MB in shards of 64 MB; anonymous memory, sampled all along, stays below a tenth of it."""
    code = """
        import sys, threading
        import numpy as np
        from analogue import ActivationShards, FeatureActivations

        def anonymous():
            for line in open("/proc/self/status"):
                if line.startswith("RssAnon"):
                    return int(line.split()[1]) * 1024

        rng = np.random.default_rng(0)
        rows, width, k = 2000, 1 << 15, 32
        ids = np.sort(rng.integers(0, width // k, (rows, k)) + np.arange(k) * (width // k)).astype(np.int32)
        piece = FeatureActivations.from_topk(
            ids, np.ones((rows, k), dtype=np.float32), width, token_ids=ids[:, 0], positions=np.arange(rows)
        )
        done, peak, start = threading.Event(), 0, anonymous()

        def sample():
            global peak
            while not done.wait(0.001):
                peak = max(peak, anonymous() - start)

        sampler = threading.Thread(target=sample)
        sampler.start()
        with ActivationShards.writer(sys.argv[1], width, max_entries=1 << 23) as writer:
            for _ in range(360):
                writer.append(piece)
        shards = ActivationShards.load(sys.argv[1])
        counts = shards.firing_counts
        done.set()
        sampler.join()
        assert (counts == 360 * piece.firing_counts).all()
        print(peak, 8 * shards.nnz, shards.n_shards)
    """
    peak, size, n_shards = map(int, run(code, tmp_path / "acts").split())
    assert n_shards == 3
    assert size > 180e6
    assert 0 < peak < size / 10
