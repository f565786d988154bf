"""Models of two tokenizers compared end to end: one model against itself, families against each other, the command."""

import json
import shutil

import numpy as np
import pytest
import torch

import analogue as an
import oracles_alignment as oracle
import tiny
from analogue.demo import folder
from analogue.dictionaries.autoencoder import SparseAutoencoder, TopK
from analogue.reopen import reopen_corpus
from analogue.report import tables
from tokenizers_made import TEXTS, tokenizer

MODEL, SAE, TEXT = (str(folder() / name) for name in ("model_a", "sae_a", "held_out.jsonl"))
SMALL = ["--measures", "rsa,cka,mutual_knn", "--permutations", "20", "--no-activations"]
SITE = "layers.2"


@pytest.fixture(scope="module")
def fewer_merges(tmp_path_factory):
    """The embedded model A with a tokenizer that lacks the last 1500 merges of A's."""
    model = tmp_path_factory.mktemp("fewer") / "model"
    shutil.copytree(MODEL, model)
    file = model / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    merges = content["model"]["merges"]
    for left, right in merges[-1500:]:
        content["model"]["vocab"].pop(left + right, None)
    del merges[-1500:]
    file.write_text(json.dumps(content), encoding="utf-8")
    return model


def saes(site_b=SITE, sae_b=SAE):
    return ["--sae-a", SAE, "--site-a", SITE, "--sae-b", sae_b, "--site-b", site_b, "--text", TEXT]


def test_a_model_pairs_with_itself_under_other_merges(run, tmp_path, fewer_merges):
    out = tmp_path / "run"
    status, printed, _ = run("compare", MODEL, fewer_merges, *saes(), "--out", out, *SMALL, "--max-tokens", "4000")
    assert status == 0
    read = an.load_comparison(out)
    assert (read.pairs.feature_a == read.pairs.feature_b).mean() > 0.98
    assert len(read.pairs) > 200
    assert read.summary["mean_correlation_given_token"] > 0.5
    assert read.verdict.word == "shared"
    with pytest.raises(ValueError, match="was read by two tokenizers and aligned: pass the corpus"):
        reopen_corpus(read)
    text, found = json.loads((out / "manifest.json").read_text())["text"], read.alignment
    assert found == read.summary["alignment"] == text["alignment"]
    assert (found["rule"], found["pool"], found["warning"]) == ("last", None, None)
    assert found["kept"] == text["kept"]
    assert found["token_share"]["a"] == found["kept"] / (text["tokens"]["a"] - sum(text["masked"]["a"].values()))
    table = next(tables(read))
    assert table.title.startswith("Aligned tokens")
    assert table.title[:14] in printed
    row = [next(column.cells) for column in table.columns]
    assert row == [
        "last",
        str(found["units"]),
        str(found["kept"]),
        *(f"{x:.3f}" for x in found["token_share"].values()),
        f"{found['character_share']:.3f}",
    ]


@pytest.mark.parametrize(("rule", "pool"), [("overlap", "mean"), ("word", "max")])
def test_so_it_does_pooled(fewer_merges, rule, pool):
    sides = [an.load_side(model, SAE, SITE) for model in (MODEL, fewer_merges)]
    corpora = [an.Corpus.from_files(TEXT, tokenizer, 128, max_tokens=4000) for _, tokenizer in sides]
    settings = an.Settings(measures=("rsa",), permutations=20)
    found = an.compare(sides[0][0], sides[1][0], an.align(*corpora, rule, pool), settings)
    assert (found.pairs.feature_a == found.pairs.feature_b).mean() > 0.98
    assert len(found.pairs) > 200
    if rule == "word":
        tops = {top for labels in found.labels for top in labels.top_token if top}
        assert not any(" " in top for top in tops)


def test_one_tokenizer_forced_through_the_alignment_gives_the_same():
    side_a, tokenizer_a = an.load_side(MODEL, SAE, SITE)
    side_b, _ = an.load_side(folder() / "model_b", folder() / "sae_b", "layers.4")
    corpus = an.Corpus.from_files(TEXT, tokenizer_a, 128, max_tokens=3000)
    settings = an.Settings(measures=("rsa", "cka"), permutations=20, token_null=2, split_half=True, shared_words=1)
    plain = an.compare(side_a, side_b, corpus, settings)
    assert plain.alignment is None
    for aligned in (an.align(corpus, corpus), an.align(corpus, corpus, "overlap", "sum")):
        found = an.compare(side_a, side_b, aligned, settings)
        assert found.alignment["token_share"] == {"a": 1.0, "b": 1.0}
        assert found.summary | {"alignment": None} == plain.summary
        assert found.to_dict()["scores"] == plain.to_dict()["scores"]
        assert found.pairs.to_arrow().equals(plain.pairs.to_arrow())
        for ours, theirs in zip(found.labels, plain.labels, strict=True):
            assert ours.to_arrow().equals(theirs.to_arrow())
            assert ours.top_token == theirs.top_token


def test_one_tokenizer_can_be_aligned_by_words(run, tmp_path):
    models = ["compare", MODEL, str(folder() / "model_b"), *saes("layers.4", str(folder() / "sae_b"))]
    chosen = ["--align", "word", "--pool", "sum", "--max-tokens", "1500", "--min-activations", "5"]
    status, printed, _ = run(*models, *SMALL, *chosen, "--out", tmp_path / "run", "--json")
    assert status == 0
    found = json.loads(printed)["summary"]["alignment"]
    assert (found["rule"], found["pool"]) == ("word", "sum")
    arguments = json.loads((tmp_path / "run" / "manifest.json").read_text())["arguments"]
    assert (arguments["align"], arguments["pool"]) == ("word", "sum")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--align", "first"], "rule must be one of last, overlap, word, got 'first'"),
        (["--pool", "mean"], "pool needs align overlap or word, got pool=mean and both"),
        (["--align", "last", "--pool", "mean"], "pool goes with the rules overlap and word, got mean with last"),
        (["--align", "word", "--pool", "min"], "pool must be one of mean, max, sum, got 'min'"),
    ],
)
def test_bad_options_are_one_sentence(run, tmp_path, options, sentence):
    status, printed, error = run(
        "compare", MODEL, MODEL, *saes(), "--max-tokens", "500", "--out", tmp_path / "r", *options
    )
    assert (status, printed) == (2, "")
    assert sentence in error.strip().splitlines()[-1]


FAMILIES = {
    "gpt_neox": ("bytes", "layers.1"),
    "bert": ("wordpiece", "encoder.layer.1"),
    "llama": ("unigram", "layers.1"),
}
LONG = [f"{text}\n{other}" for text in (*TEXTS, *TEXTS[0].splitlines()) for other in TEXTS]


def side(family):
    torch.manual_seed(1)
    found = SparseAutoencoder(
        format="made",
        w_dec=torch.randn(64, 24),
        w_enc=torch.randn(64, 24),
        b_enc=torch.zeros(64),
        b_pre=None,
        b_dec=torch.zeros(24),
        nonlinearity=TopK(4),
    )
    return an.Side(tiny.model(family), {FAMILIES[family][1]: found}, family)


@pytest.mark.parametrize("families", [("gpt_neox", "bert"), ("llama", "gpt_neox"), ("bert", "llama")])
@pytest.mark.parametrize(("rule", "pool"), [("last", None), ("overlap", "max"), ("word", "mean")])
def test_families_end_to_end(families, rule, pool):
    """Activations of every row against the model's own on the block that holds it, one block at a time."""
    sides = [side(family) for family in families]
    corpora = [an.Corpus.from_texts(LONG, tokenizer(FAMILIES[family][0]), 48) for family in families]
    aligned = an.align(*corpora, rule, pool)
    settings = an.Settings(
        min_activations=3,
        min_correlation=0.0,
        given="bigram",
        junk="majority",
        measures=("rsa",),
        permutations=5,
        min_pairs=2,
        token_null=2,
        split_half=True,
        convergence=True,
    )
    found = an.compare(*sides, aligned, settings, check="off")
    assert len(found.pairs) >= 1
    assert found.provenance["text"]["alignment"] == aligned.report()
    assert found.split_half.pairs > 0
    assert 0 < found.token_null.tokens_movable < 1
    for key, one, corpus in zip("ab", sides, (aligned.a, aligned.b), strict=True):
        (site, dictionary), acts = next(iter(one.dictionaries.items())), found.spaces[key].activations
        rows = getattr(aligned, f"rows_{key}")
        plain = an.capture(one.model, corpus, {site: dictionary}, device="cpu", batch_size=1)[site].to_dense()
        expected = oracle.pooled(plain, rows, pool or "max")
        np.testing.assert_allclose(acts.to_dense(), expected, atol=1e-4)
        labels = found.labels["ab".index(key)]
        for feature in range(0, 64, 7):
            tops = np.sort(expected[:, feature])[::-1][: len(labels.tokens(feature))]
            own = labels.activation[labels.offsets[feature] : labels.offsets[feature + 1]]
            np.testing.assert_allclose(own, tops, atol=1e-4)
        for document, position, token in zip(labels.document_id, labels.position, labels.token, strict=True):
            start, end = aligned.document_offsets[document][position]
            assert aligned.texts[document][start:end] == token


@pytest.mark.parametrize("families", [("gpt_neox", "bert"), ("llama", "gpt_neox")])
def test_blocks_of_both_sides_hold_the_same_text(families):
    texts = [tiny.TEXT, tiny.TEXT[40:], tiny.TEXT[::-1]]
    corpora = [an.Corpus.from_texts(texts, tokenizer(FAMILIES[family][0]), 32) for family in families]
    aligned = an.align(*corpora)
    assert aligned.a.n_blocks == aligned.b.n_blocks > 2 * len(texts)
    np.testing.assert_array_equal(aligned.a.document_ids, aligned.b.document_ids)
    ends = []
    for corpus in (aligned.a, aligned.b):
        last = np.append(corpus.block_starts[1:], 0) - 1
        whole = np.append(np.diff(corpus.document_ids) == 0, False)
        spans = [corpus.document_offsets[d][i] for d, i in zip(corpus.document_ids[whole], last[whole], strict=True)]
        ends.append(
            [aligned.texts[d][:end].rstrip() for d, (_, end) in zip(corpus.document_ids[whole], spans, strict=True)]
        )
    assert ends[0] == ends[1]


def test_windows_count_units():
    corpora = [an.Corpus.from_texts(LONG, tokenizer(kind), 48) for kind in ("bytes", "wordpiece")]
    aligned, one = an.align(*corpora, "word"), side("gpt_neox")
    acts = aligned.on_units("control", an.capture(one.model, aligned.a, one.dictionaries)["layers.1"])
    labels = an.top_contexts(acts, aligned, k=3, window=2)
    sampled = an.sample_contexts(acts, aligned, k=1, bands=2, unit="words")
    after = an.top_contexts(acts, aligned, k=3, target="next")
    for document, position, token in zip(after.document_id, after.position, after.token, strict=True):
        start, end = aligned.document_offsets[document][position]
        assert position > 0
        assert aligned.texts[document][start:end] == token
        assert aligned.document_token_ids[document][position] not in aligned.special_ids
    with pytest.raises(ValueError, match="acts must be captured on this corpus"):
        an.top_contexts(acts, aligned.a)
    assert sampled.n_features == labels.n_features == 64
    for (left, token, right), document, position in zip(
        labels.contexts(5), labels.document_id[labels.offsets[5] :], labels.position[labels.offsets[5] :], strict=False
    ):
        offsets, text = aligned.document_offsets[document], aligned.texts[document]
        first, last = max(position - 2, 0), min(position + 2, len(offsets) - 1)
        assert left + token + right == text[offsets[first][0] : offsets[last][1]]
