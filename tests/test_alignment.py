"""Units of two tokenizers against loops over characters, and what both sides say in a unit against each other."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.convert_slow_tokenizer import bytes_to_unicode

import oracles_alignment as oracle
from analogue import FeatureActivations, align
from analogue.aligned_corpus import ALIGNMENTS
from analogue.corpus import Corpus
from analogue.pooling import POOLS, pooled
from tokenizers_made import KINDS, TEXTS, tokenizer

PIECES = [
    *("the cat", " sat", " WEATHER", "  ", "\n\n", "\t", ".\n", "don't", " naïve", "e\u0301", "a\u0327\u0301", "é"),
    *(
        "ﬁsh",
        "½",
        "😀",
        "日本語",
        "한국",
        "\u1112\u1161\u11ab",
        "ｶﾞ",
        "İ",
        "ß",
        "\x00",
        "\u200b",
        "\ufeff",
        "<eos>",
        "x",
    ),
]
UNICODE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TEXT = st.lists(st.one_of(st.sampled_from(PIECES), UNICODE), min_size=1, max_size=12).map("".join)
DOCUMENTS = st.lists(TEXT.map("the cat {} sat.".format), min_size=1, max_size=4)
PAIRS = [(a, b) for i, a in enumerate(KINDS) for b in KINDS[i:]]


def corpora(texts, kinds, lengths=(24, 24), **options):
    return [Corpus.from_texts(texts, tokenizer(kind), n, **options) for kind, n in zip(kinds, lengths, strict=True)]


def spans(corpus, document):
    return [tuple(span) for span in corpus.document_offsets[document].tolist()]


@settings(max_examples=8 * settings.default.max_examples)
@given(
    kinds=st.sampled_from(PAIRS),
    texts=DOCUMENTS,
    lengths=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    rule=st.sampled_from(ALIGNMENTS),
)
def test_units_blocks_and_rows_against_loops(kinds, texts, lengths, rule):
    read = corpora(texts, kinds, lengths)
    expected = [oracle.units(t, *(spans(c, d) for c in read), words=rule == "word") for d, t in enumerate(texts)]
    try:
        aligned = align(*read, rule)
    except ValueError as error:
        assert "got none" in str(error)  # noqa: PT017
        return
    sides = (aligned.a, aligned.b)
    entering, total = [], 0
    for document, found in enumerate(expected):
        assert [tuple(span) for span in aligned.document_offsets[document].tolist()] == [hull for *_, hull in found]
        sizes = [len(side.document_token_ids[document]) for side in sides]
        pieces = [tuple(unit[s][1] - unit[s][0] + 1 for s in (0, 1)) for unit in found]
        pieces.append(tuple(sizes[s] - (found[-1][s][1] + 1 if found else 0) for s in (0, 1)))
        rooms = [side.room for side in sides]
        starts = oracle.blocks(pieces, rooms)
        kept = [set(side.kept_positions[side.kept_document_ids == document].tolist()) for side in sides]
        for s in (0, 1):
            assert sides[s].cuts[document].tolist() == starts[s]
        for position, unit in enumerate(found):
            standing = [range(last if rule == "last" else first, last + 1) for first, last in unit[:2]]
            if all(kept[s].issuperset(standing[s]) and pieces[position][s] <= rooms[s] for s in (0, 1)):
                entering.append((document, position, standing))
        total += len(found)
    np.testing.assert_array_equal(aligned.kept_document_ids, [document for document, *_ in entering])
    np.testing.assert_array_equal(aligned.kept_positions, [position for _, position, _ in entering])
    for side, rows, s in ((aligned.a, aligned.rows_a, 0), (aligned.b, aligned.rows_b, 1)):
        places = list(zip(side.kept_document_ids.tolist(), side.kept_positions.tolist(), strict=True))
        own = [(places.index((d, tokens[s][0])), places.index((d, tokens[s][-1]))) for d, _, tokens in entering]
        np.testing.assert_array_equal(rows, own)
        assert aligned.token_shares["ab"[s]] == pytest.approx(sum(b - a + 1 for a, b in own) / side.n_kept)
    assert aligned.report()["units"] == total
    assert aligned.report()["kept"] == aligned.n_kept == len(entering)


BYTES = {character: byte for byte, character in bytes_to_unicode().items()}


def said(kind, tokens):
    """The text that some tokens stand for, as their tokenizer has it; None where it does not know it."""
    if any(token in ("[UNK]", "<unk>") for token in tokens):
        return None
    if kind in ("bytes", "trimmed"):
        return bytes(BYTES[c] for token in tokens for c in token).decode()
    if kind == "wordpiece":
        return "".join(token.removeprefix("##") for token in tokens)
    parts = (bytes([int(t[3:5], 16)]) if t.startswith("<0x") else t.replace("▁", " ").encode() for t in tokens)
    return b"".join(parts).decode()


def bare(text):
    """Letters and signs without case, marks, white space, controls and compatibility forms."""
    for _ in range(2):
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in text if unicodedata.category(c)[0] not in "MZC")


@pytest.mark.parametrize("kinds", PAIRS)
@given(text=TEXT.map("the cat {} sat.".format))
def test_both_sides_say_the_same_in_every_unit(kinds, text):
    """Nothing of the definition is used here: tokens are put back together, and must be the same piece of raw text."""
    if "<eos>" in text or "▁" in text:
        return
    read = corpora([text], kinds)
    aligned = align(*read, "overlap")
    first = [0, 0]
    found = oracle.units(text, *(spans(c, 0) for c in read))
    assert len(found) == len(aligned.document_offsets[0])
    for (start, end), unit in zip(aligned.document_offsets[0].tolist(), found, strict=True):
        texts = []
        for s, kind in enumerate(kinds):
            tokens = tokenizer(kind).convert_ids_to_tokens(read[s].document_token_ids[0][first[s] : unit[s][1] + 1])
            texts.append(said(kind, tokens))
            first[s] = unit[s][1] + 1
        for words in texts:
            assert words is None or bare(words) == bare(text[start:end]), (texts, text[start:end])


EXACT = [
    ("bytes", "wordpiece", "the cat.\n\nthe", ["the", " cat", ".", "\n\nthe"]),
    ("bytes", "bytes", "the cat.\n\nthe", ["the", " cat", ".", "\n", "\n", "the"]),
    ("trimmed", "bytes", "a  e\u0301 \U0001f600 the", ["a", "  e\u0301", " \U0001f600", " the"]),
    ("unigram", "wordpiece", "a \ufb01sh \u00bd the", ["a", " \ufb01s", "h", " \u00bd", " the"]),
    (
        "decomposed",
        "bytes",
        "a \u00e9 e\u0301 \u1112\u1161\u11ab",
        ["a", *(" ", "\u00e9"), *(" ", "e\u0301"), *(" ", "\u1112\u1161\u11ab")],
    ),
    ("fallback", "wordpiece", "a the  cat", ["a", " the ", " cat"]),
]


@pytest.mark.parametrize(("kind", "other", "text", "wanted"), EXACT)
def test_units_are_pieces_of_the_raw_text(kind, other, text, wanted):
    aligned = align(*corpora([text], (kind, other)))
    assert [text[start:end] for start, end in aligned.document_offsets[0]] == wanted


@given(texts=DOCUMENTS, kinds=st.sampled_from(PAIRS), rule=st.sampled_from(ALIGNMENTS))
def test_ids_are_what_both_sides_read(texts, kinds, rule):
    try:
        aligned = align(*corpora([*texts, *texts], kinds), rule)
    except ValueError:
        return
    read, first = [], {}
    for document, text in enumerate(aligned.texts):
        found = oracle.units(text, *(spans(c, document) for c in (aligned.a, aligned.b)), words=rule == "word")
        begin = [0, 0]
        for position, unit in enumerate(found):
            ids = [side.document_token_ids[document] for side in (aligned.a, aligned.b)]
            own = tuple(tuple(ids[s][begin[s] : unit[s][1] + 1].tolist()) for s in (0, 1))
            begin = [unit[0][1] + 1, unit[1][1] + 1]
            first[document, position] = own
    places = zip(aligned.kept_document_ids.tolist(), aligned.kept_positions.tolist(), strict=True)
    read = [first[place] for place in places]
    numbers = {own: i for i, own in enumerate(dict.fromkeys(read))}
    expected = np.array([numbers[own] for own in read])
    same = aligned.kept_token_ids[:, None] == aligned.kept_token_ids
    np.testing.assert_array_equal(same, expected[:, None] == expected)
    every = np.concatenate(aligned.document_token_ids)
    np.testing.assert_array_equal(np.unique(every), np.arange(every.max() + 1))
    own = [
        aligned.document_token_ids[d][p] for d, p in zip(aligned.kept_document_ids, aligned.kept_positions, strict=True)
    ]
    np.testing.assert_array_equal(aligned.kept_token_ids, own)


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 2.5]), min_size=width, max_size=width),
            min_size=1,
            max_size=30,
        )
    ),
    st.sampled_from(POOLS),
    st.randoms(use_true_random=False),
)
def test_pooling_against_dense_rows(rows, how, random):
    dense = np.array(rows, dtype=np.float32)
    runs = sorted(
        sorted((random.randrange(len(dense)), random.randrange(len(dense)))) for _ in range(random.randrange(8))
    )
    first, last = (np.array([run[i] for run in runs], dtype=np.int64) for i in (0, 1))
    found = pooled(FeatureActivations.from_dense(dense), first, last, how)
    expected = oracle.pooled(dense, runs, how).reshape(-1, dense.shape[1])
    np.testing.assert_allclose(found.to_dense(), expected, rtol=1e-6)
    assert found.values.all()
    assert (np.diff(found.indptr) == np.count_nonzero(expected, axis=1)).all()


def test_rows_of_either_side_go_on_units():
    aligned = align(*corpora(TEXTS, ("bytes", "wordpiece")), "overlap", "max")
    for side in "ab":
        corpus, rows = aligned.corpus(side), getattr(aligned, f"rows_{side}")
        own = FeatureActivations.from_dense(np.arange(1, corpus.n_kept + 1)[:, None])
        found = aligned.on_units(side, own)
        np.testing.assert_array_equal(found.values, rows[:, 1] + 1)
        np.testing.assert_array_equal(found.token_ids, aligned.kept_token_ids)
        np.testing.assert_array_equal(found.document_ids, aligned.kept_document_ids)
        np.testing.assert_array_equal(found.positions, aligned.kept_positions)
    last = align(aligned.a, aligned.b)
    own = FeatureActivations.from_dense(np.arange(1, last.a.n_kept + 1)[:, None])
    np.testing.assert_array_equal(last.on_units("control", own).values, last.rows_a[:, 1] + 1)
    with pytest.raises(ValueError, match=rf"acts must hold the {last.b.n_kept} kept tokens of side b, got"):
        last.on_units("b", own)
    with pytest.raises(TypeError, match="acts must be FeatureActivations in memory to be aligned, got list"):
        last.on_units("a", [])


@given(texts=DOCUMENTS, kinds=st.sampled_from(PAIRS), limits=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_side_that_stopped_earlier_ends_the_text(texts, kinds, limits):
    read = [
        Corpus.from_texts(texts, tokenizer(kind), 16, max_tokens=limit)
        for kind, limit in zip(kinds, limits, strict=True)
    ]
    whole = align(*corpora(texts, kinds, (16, 16)))
    try:
        cut = align(*read)
    except ValueError:
        return
    assert cut.texts == tuple(texts[: len(cut.texts)])
    common = min(corpus.document_offsets[len(cut.texts) - 1].max() for corpus in read)
    for side in (cut.a, cut.b):
        assert side.document_offsets[-1].max(initial=0) <= common
        for ids, starts in zip(side.document_token_ids, side.cuts, strict=True):
            assert starts[:1].tolist() == ([0] if len(ids) else [])
    for document, (offsets, all_offsets) in enumerate(zip(cut.document_offsets, whole.document_offsets, strict=False)):
        np.testing.assert_array_equal(offsets, all_offsets[: len(offsets)])
        for side, tokens in ((cut.a, read[0]), (cut.b, read[1])):
            assert len(side.document_token_ids[document]) <= len(tokens.document_token_ids[document])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "trimmed"])  # whose bare spaces stand for nothing
@pytest.mark.parametrize("rule", ["last", "overlap"])
def test_one_tokenizer_aligned_with_itself_is_itself(kind, rule):
    """Every token that has a character is a unit, in the blocks that it had."""
    texts = [f" {line}" for line in TEXTS[0].splitlines()]
    corpus = Corpus.from_texts(texts, tokenizer(kind), 16)
    if kind == "fallback":  # the space that it prepends has none: it shares the next token's
        corpus = replace(
            corpus,
            document_token_ids=tuple(ids[1:] for ids in corpus.document_token_ids),
            document_offsets=tuple(offsets[1:] for offsets in corpus.document_offsets),
        )
    aligned = align(corpus, corpus, rule)
    for side in (aligned.a, aligned.b):
        for name in ("token_ids", "attention_mask", "kept", "document_ids", "block_starts"):
            np.testing.assert_array_equal(getattr(side, name), getattr(corpus, name))
    np.testing.assert_array_equal(aligned.rows_a, np.repeat(np.arange(corpus.n_kept)[:, None], 2, axis=1))
    np.testing.assert_array_equal(aligned.kept_document_ids, corpus.kept_document_ids)
    np.testing.assert_array_equal(aligned.kept_positions, corpus.kept_positions)
    ids = np.unique(np.concatenate(corpus.document_token_ids), return_inverse=True)[1]
    np.testing.assert_array_equal(np.concatenate(aligned.document_token_ids), ids)
    assert aligned.report() == {
        "rule": rule,
        "pool": None if rule == "last" else "mean",
        "units": sum(map(len, corpus.document_token_ids)),
        "kept": corpus.n_kept,
        "token_share": {"a": 1.0, "b": 1.0},
        "character_share": pytest.approx(aligned.report()["character_share"]),
        "warning": None,
    }


def test_a_document_without_a_shared_end_has_blocks_of_its_own():
    texts = ["the cat", "the weather", "the dog"]
    a, b = corpora(texts, ("bytes", "wordpiece"))
    offsets = list(b.document_offsets)
    offsets[1] = offsets[1] + np.int32([0, -1])
    aligned = align(a, replace(b, document_offsets=tuple(offsets)))
    assert [len(found) for found in aligned.document_offsets] == [2, 0, len(aligned.document_offsets[2])]
    for side, whole in ((aligned.a, a), (aligned.b, b)):
        assert [cuts.tolist() for cuts in side.cuts] == [[0], [0], [0]]
        np.testing.assert_array_equal(side.token_ids, whole.token_ids)
    assert set(aligned.kept_document_ids.tolist()) == {0, 2}
    assert aligned.token_shares["b"] < 1


def test_a_low_share_is_a_warning():
    read = [Corpus.from_texts(TEXTS[:1], made) for made in (tokenizer("fallback", 280), tokenizer("wordpiece"))]
    aligned = align(*read)
    shares = aligned.token_shares
    assert shares["a"] < 0.5 < shares["b"]
    assert aligned.warning == aligned.report()["warning"]
    assert aligned.warning == f"only {shares['a']:.0%} of the tokens of A enter; overlap pools them all"
    assert align(aligned.a, aligned.b, "overlap").warning is None
    assert (
        repr(aligned)
        == f"AlignedCorpus({aligned.n_kept} units by last, {shares['a']:.0%} and {shares['b']:.0%} of the tokens)"
    )


def test_special_tokens_of_either_side_never_enter():
    text = "the cat <eos> sat on the mat [SEP] and the dog"
    aligned = align(*corpora([text], ("bytes", "wordpiece"), (64, 64)))
    kept = [text[s:e].strip() for s, e in aligned.document_offsets[0][aligned.kept_positions]]
    assert not any("eos" in unit or "SEP" in unit for unit in kept)
    assert "".join(kept).endswith("thedog")  # whole words or pieces of them, as the tokenizers came out of training
    assert "mat" in "".join(kept)
    special = np.isin(aligned.document_token_ids[0], list(aligned.special_ids))
    marked = [text[s:e].strip() for s, e in aligned.document_offsets[0][special]]
    assert "<eos>" in "".join(marked)
    assert "[SEP]" in "".join(marked)
    assert not special[aligned.kept_positions].any()


BAD = [
    (lambda a, b: align(a, b, "first"), ValueError, "rule must be one of last, overlap, word, got 'first'"),
    (lambda a, b: align(a, b, "last", "mean"), ValueError, "pool goes with the rules overlap and word, got mean"),
    (lambda a, b: align(a, b, "word", "min"), ValueError, "pool must be one of mean, max, sum, got 'min'"),
    (lambda a, b: align(a, [], "word"), TypeError, "corpus_b must be a Corpus, got list"),
    (
        lambda a, b: align(a, Corpus.from_texts(["the dog"], tokenizer("bytes"))),
        ValueError,
        r"must hold the same documents, but texts\[0\] differs",
    ),
    (
        lambda a, b: align(*corpora(["\u20ac"], ("bytes", "wordpiece"))),
        ValueError,
        "must have kept tokens that end at the same character, got none",
    ),
]


@pytest.mark.parametrize(("call", "error", "match"), BAD)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match) as raised:
        call(*corpora(["the cat"], ("bytes", "wordpiece")))
    assert "\n" not in str(raised.value)
