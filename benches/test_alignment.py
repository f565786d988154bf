"""Two tokenizers aligned on 3 x 10^5 tokens each, against what it takes to tokenise the text for both."""

import json
from statistics import median
from time import perf_counter

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from analogue import Corpus, align
from analogue.demo import folder

COPIES, RUNS = 3, 5


def word_piece(texts):
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=4096, special_tokens=["[UNK]"], show_progress=False)
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")


def test_aligning_takes_less_than_tokenising(benchmark):
    with open(folder() / "held_out.jsonl", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    tokenizers = (AutoTokenizer.from_pretrained(folder() / "model_a"), word_piece(texts))
    start = perf_counter()
    a, b = (Corpus.from_texts(texts * COPIES, tokenizer, 128) for tokenizer in tokenizers)
    tokenising = perf_counter() - start
    seconds = []
    for _ in range(RUNS):
        start = perf_counter()
        aligned = align(a, b)
        seconds.append(perf_counter() - start)
    benchmark.pedantic(align, (a, b), rounds=1)

    plain = [
        np.intersect1d(left[:, 1], right[:, 1])  # ASCII text, and no token that ends with white space
        for left, right in zip(a.document_offsets, b.document_offsets, strict=True)
    ]
    for document, ends in enumerate(plain):
        if texts[document % len(texts)].isascii():
            np.testing.assert_array_equal(aligned.document_offsets[document][:, 1], ends)
    ratio, million = median(seconds) / tokenising, median(seconds) / max(a.n_tokens, b.n_tokens) * 1e6
    print(f"\n{a.n_tokens} and {b.n_tokens} tokens: {median(seconds):.3f} s, a million {million:.2f} s (target 1 s)")
    print(f"{ratio:.2f} of the time that tokenising them takes ({tokenising:.2f} s)")
    assert ratio < 0.5
