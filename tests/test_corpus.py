"""Blocks, masks and positions against a plain loop over documents; offsets against the text; every bad input."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, GemmaTokenizer, LlamaTokenizer, PythonBackend

import tiny
from analogue.corpus import Corpus, same_tokenizer

KINDS = ("plain", "bos", "bert")
TOKENIZERS = {kind: tiny.tokenizer(kind) for kind in KINDS}
ADDED = {"plain": 0, "bos": 1, "bert": 2}
PIECES = ["The cat", " sat", " on the mat", " 😀", "é", "<eos>", "[SEP]", "\n", " whatever", " weather", "ß", " x"]


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@given(
    st.sampled_from(KINDS),
    st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("a".join), min_size=1, max_size=5),
    st.integers(4, 20),
    st.booleans(),
)
def test_blocks_against_a_loop(kind, texts, length, keep_special):
    tokenizer = TOKENIZERS[kind]
    corpus = Corpus.from_texts([f"a{text}" for text in texts], tokenizer, length, keep_special=keep_special)
    special = set(tokenizer.all_special_ids)
    room = length - ADDED[kind]
    block, rows, masked_special, total = 0, [], 0, 0
    for document, text in enumerate(texts):
        own = ids_of(tokenizer, f"a{text}")
        for start in range(0, len(own), room):
            piece = own[start : start + room]
            ids = with_template(kind, piece)
            used = corpus.attention_mask[block]
            np.testing.assert_array_equal(corpus.token_ids[block][used], ids)
            np.testing.assert_array_equal(used, np.arange(len(used)) < len(ids))
            assert corpus.document_ids[block] == document
            assert corpus.block_starts[block] == start
            np.testing.assert_array_equal(corpus.special_mask[block][used], [token in special for token in ids])
            first = 0 if kind == "plain" else 1
            for column in range(1, len(ids)):
                in_text = first <= column < first + len(piece)
                if in_text and (keep_special or ids[column] not in special):
                    rows.append((ids[column], document, start + column - first))
                else:
                    masked_special += 1
            total += len(ids)
            block += 1
    assert corpus.n_blocks == block
    assert corpus.n_tokens == total
    assert corpus.n_kept == len(rows)
    assert corpus.masked == {"first_position": block, "special": masked_special}
    kept = np.array(rows, dtype=np.int64).reshape(-1, 3)
    np.testing.assert_array_equal(corpus.kept_token_ids, kept[:, 0])
    np.testing.assert_array_equal(corpus.kept_document_ids, kept[:, 1])
    np.testing.assert_array_equal(corpus.kept_positions, kept[:, 2])


def with_template(kind, piece):
    return {"plain": piece, "bos": [1, *piece], "bert": [2, *piece, 3]}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_give_back_the_token_text(kind):
    texts = [f"{tiny.TEXT} plain ascii", "a second document"]
    corpus = Corpus.from_texts(texts, TOKENIZERS[kind], 8)
    for text, ids, offsets in zip(texts, corpus.document_token_ids, corpus.document_offsets, strict=True):
        spans = [text[start:end] for start, end in offsets]
        assert ids.dtype == offsets.dtype == np.int32
        if kind == "bert":
            known = [i for i, token in enumerate(ids) if token != TOKENIZERS[kind].unk_token_id]
            tokens = [TOKENIZERS[kind].convert_ids_to_tokens(int(ids[i])).removeprefix("##") for i in known]
            assert tokens == [spans[i].lower() for i in known]
        else:
            assert [TOKENIZERS[kind].decode([token]) for token in ids] == spans
            assert "".join(spans) == text


def test_offsets_count_characters_and_pieces_of_one_character_share_its_span():
    corpus = Corpus.from_texts(["é😀cat"], TOKENIZERS["plain"], 8)
    spans = corpus.document_offsets[0].tolist()
    assert spans[:2] == [[0, 1]] * 2
    assert spans[2:6] == [[1, 2]] * 4
    assert spans[-1][1] == 5


def test_documents_are_never_packed():
    corpus = Corpus.from_texts(["a cat", "a dog", "a"], TOKENIZERS["plain"], 64)
    np.testing.assert_array_equal(corpus.document_ids, [0, 1, 2])
    assert corpus.token_ids.shape[1] == max(map(len, corpus.document_token_ids)) < 64
    assert corpus.attention_mask.sum() == sum(map(len, corpus.document_token_ids))


def test_specials_of_another_tokenizer_are_masked_too():
    tokenizer = TOKENIZERS["plain"]
    text = "the cat sat on the mat"
    cat = ids_of(tokenizer, " cat")
    assert len(cat) == 1
    plain, extra = (Corpus.from_texts([text], tokenizer, 32, extra_special_ids=i) for i in ((), cat))
    assert extra.n_kept == plain.n_kept - 1
    assert cat[0] not in extra.kept_token_ids
    assert extra.masked["special"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_added_tokens_are_never_kept(kind):
    corpus = Corpus.from_texts(["a cat [SEP] <eos> sat"], TOKENIZERS[kind], 32, keep_special=True)
    assert corpus.n_kept == len(corpus.document_token_ids[0]) - (kind == "plain")


@pytest.mark.parametrize(("family", "bos"), [(GemmaTokenizer, "<bos>"), (LlamaTokenizer, "<s>")])
def test_bos_of_the_real_classes(family, bos, tmp_path):
    tokens = ["<pad>", "</s>", "<s>", "<unk>", "▁", "a", "▁a", "b", "<bos>", "<eos>", "<mask>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    family(vocab=vocabulary, merges=[("▁", "a")], add_bos_token=True).save_pretrained(tmp_path)
    corpus = Corpus.from_texts(["a b a b a b"], AutoTokenizer.from_pretrained(tmp_path), 4)
    assert corpus.prefix == (vocabulary[bos],)
    np.testing.assert_array_equal(corpus.token_ids[:, 0], vocabulary[bos])
    assert corpus.n_kept == len(corpus.document_token_ids[0])
    without = family(vocab=vocabulary, merges=[("▁", "a")], add_bos_token=False)
    assert Corpus.from_texts(["a b"], without, 4).prefix == ()


@given(st.integers(1, 60))
def test_max_tokens(limit):
    texts = [tiny.TEXT[:60], tiny.TEXT[60:140], tiny.TEXT[140:]]
    tokenizer = TOKENIZERS["bos"]
    whole = np.concatenate([ids_of(tokenizer, text) for text in texts])
    corpus = Corpus.from_texts(texts, tokenizer, 8, max_tokens=limit)
    cut = np.concatenate(corpus.document_token_ids)
    np.testing.assert_array_equal(cut, whole[:limit])
    assert corpus.texts == tuple(texts[: corpus.n_documents])


def test_max_tokens_does_not_read_on():
    def endless():
        while True:
            yield "the cat sat"

    assert (
        len(np.concatenate(Corpus.from_texts(endless(), TOKENIZERS["plain"], 8, max_tokens=9).document_token_ids)) == 9
    )


def test_default_context_length():
    assert Corpus.from_texts(["a"], TOKENIZERS["plain"]).context_length == 256
    assert Corpus.from_texts(["a"], TOKENIZERS["bert"]).context_length == 64


def test_files(tmp_path):
    text, lines = tmp_path / "a.txt", tmp_path / "b.jsonl"
    text.write_bytes("\ufeffthe cat\r\nsat".encode())
    lines.write_bytes('{"body": "one\u2028two", "n": 1}\n\n  \n{"body": "three"}'.encode())
    corpus = Corpus.from_files([text, str(lines)], TOKENIZERS["plain"], 8, text_field="body")
    assert corpus.texts == ("the cat\r\nsat", "one\u2028two", "three")
    assert corpus.names == (str(text), f"{lines}:1", f"{lines}:4")
    assert Corpus.from_files(text, TOKENIZERS["plain"]).texts == ("the cat\r\nsat",)


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets(streaming):
    dataset = Dataset.from_dict({"text": ["the cat", "", " \n", "sat"], "n": [1, 2, 3, 4]})
    given = dataset.to_iterable_dataset() if streaming else dataset
    corpus = Corpus.from_dataset(given, TOKENIZERS["plain"])
    assert corpus.texts == ("the cat", "sat")
    assert corpus.names == ("row 0", "row 3")


def test_sha256_is_of_texts_and_their_borders():
    def digest(texts, kind="plain"):
        return Corpus.from_texts(texts, TOKENIZERS[kind]).sha256

    assert digest(["ab", "c"]) == digest(["ab", "c"], "bos")
    assert len({digest(texts) for texts in (["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"])}) == 4


def test_names():
    corpus = Corpus.from_texts(["a", "b"], TOKENIZERS["plain"], names=["x", "y"])
    assert corpus.names == ("x", "y")
    assert Corpus.from_texts(["a", "b"], TOKENIZERS["plain"]).names == ("texts[0]", "texts[1]")


def test_repr_is_short():
    corpus = Corpus.from_texts(["a cat", "a"], TOKENIZERS["bos"], 16)
    tokens = corpus.n_kept + 2
    assert repr(corpus) == f"Corpus(2 documents, 2 blocks, {tokens} tokens, {tokens - 2} kept, context_length=16)"


def test_same_tokenizer(tmp_path):
    TOKENIZERS["plain"].save_pretrained(tmp_path)
    assert same_tokenizer(TOKENIZERS["plain"], AutoTokenizer.from_pretrained(tmp_path))
    assert not same_tokenizer(TOKENIZERS["plain"], TOKENIZERS["bos"])
    with pytest.raises(TypeError, match="tokenizer must be a fast tokenizer of transformers"):
        same_tokenizer(TOKENIZERS["plain"], object())


class Slow(PythonBackend):
    vocab_size = 1

    def get_vocab(self):
        return {"a": 0}


PLAIN = TOKENIZERS["plain"]
BAD = [
    (lambda: Corpus.from_texts("one text", PLAIN), TypeError, "texts must be a list of strings, got one string"),
    (lambda: Corpus.from_texts([], PLAIN), ValueError, "at least one document, got none"),
    (lambda: Corpus.from_texts(["a", 3], PLAIN), TypeError, r"texts\[1\] must be a string, got int"),
    (
        lambda: Corpus.from_texts(["a", ""], PLAIN),
        ValueError,
        r"texts\[1\] must hold text, but it is empty",
    ),
    (lambda: Corpus.from_texts([" "], TOKENIZERS["bert"]), ValueError, "must hold text, but it is empty"),
    (lambda: Corpus.from_texts(["ab\ud800"], PLAIN), ValueError, "half a surrogate pair at character 2"),
    (lambda: Corpus.from_texts(["a"], Slow()), TypeError, "must be a fast tokenizer .* got Slow"),
    (lambda: Corpus.from_texts(["a"], PLAIN.backend_tokenizer), TypeError, "fast tokenizer .* got Tokenizer"),
    (lambda: Corpus.from_texts(["a"], PLAIN, 1), ValueError, "context_length must be at least 2, got 1"),
    (lambda: Corpus.from_texts(["a"], TOKENIZERS["bert"], 2), ValueError, "context_length must be at least 3, got 2"),
    (lambda: Corpus.from_texts(["a"], PLAIN, 8.0), TypeError, "context_length must be an integer, got 8.0"),
    (lambda: Corpus.from_texts(["a"], PLAIN, max_tokens=0), ValueError, "max_tokens must be at least 1, got 0"),
    (
        lambda: Corpus.from_texts(["a"], PLAIN, names=[]),
        ValueError,
        "names must have one entry for each of the 1 texts",
    ),
    (lambda: Corpus.from_texts(["a"], PLAIN, extra_special_ids=["<s>"]), TypeError, "extra_special_ids must be an int"),
    (
        lambda: Corpus.from_dataset(Dataset.from_dict({"n": [1]}), PLAIN),
        ValueError,
        "row 0 must have its text in 'text'",
    ),
    (
        lambda: Corpus.from_dataset(Dataset.from_dict({"text": [None, "a"]}), PLAIN),
        ValueError,
        "row 0 must have a string in 'text', got NoneType",
    ),
    (lambda: Corpus.from_dataset(DatasetDict(train=Dataset.from_dict({"text": ["a"]})), PLAIN), TypeError, "one split"),
]


@pytest.mark.parametrize(("call", "error", "match"), BAD)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.txt", b"", r"a\.txt must hold text, but it is empty"),
        ("a.txt", b"ab\xff", r"a\.txt must be UTF-8, got byte 0xff at 2"),
        ("a.csv", b"a", r"must end in \.txt or \.jsonl, got .*a\.csv"),
        ("a.jsonl", b"", "at least one document"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ""}', r"a\.jsonl:2 must hold text, but it is empty"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xff"}', r"a\.jsonl:2 must be UTF-8, got byte 0xff"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', r"a\.jsonl:2 must be a JSON object: Expecting value"),
        ("a.jsonl", b'\n["a"]', r"a\.jsonl:2 must be a JSON object, got list"),
        ("a.jsonl", b'{"body": "a", "n": 1}', r"a\.jsonl:1 must have its text in 'text', got the fields body, n"),
        ("a.jsonl", b'{"text": 3}', r"a\.jsonl:1 must have a string in 'text', got int"),
        ("a.jsonl", json.dumps({"text": "\ud800"}).encode(), r"a\.jsonl:1 must be Unicode text"),
    ],
)
def test_bad_files(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=match) as raised:
        Corpus.from_files([tmp_path / name], PLAIN)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"text file .*none\.txt does not exist"):
        Corpus.from_files([tmp_path / "none.txt"], PLAIN)
