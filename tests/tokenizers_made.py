"""Real tokenizers of every family, trained here, whose normalisers lower, strip, compose, decompose or drop."""

from functools import cache

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import tiny

TEXTS = [tiny.TEXT, "Naïve CAFÉ, Straße; ﬁsh ½ of İstanbul.\n\n😀 日本語 한국어 xᵃ ｶﾞ e\u0301a\u0327\u0301 it's 3.14!\n"]
KINDS = ("bytes", "trimmed", "wordpiece", "unigram", "decomposed", "fallback")


@cache
def tokenizer(kind, size=None):
    """Byte-level BPE (`bytes`; `trimmed`: with a prefix space, its spans without white space), lower-casing WordPiece,
    Unigram with NFKC and Metaspace, or NFD (`decomposed`), and BPE with byte fallback behind a prepended space.
    """
    special = {"unk_token": "<unk>", "eos_token": "<eos>"}
    if kind in ("bytes", "trimmed"):
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=kind == "trimmed")
        if kind == "trimmed":
            made.post_processor = processors.ByteLevel(trim_offsets=True)
        special = {"eos_token": "<eos>"}
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=size or 330, initial_alphabet=alphabet, special_tokens=["<eos>"], show_progress=False
        )
    elif kind == "wordpiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        names = list(special.values())
        trainer = trainers.WordPieceTrainer(vocab_size=size or 150, special_tokens=names, show_progress=False)
    elif kind == "fallback":
        made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        names = [*special.values(), *(f"<0x{byte:02X}>" for byte in range(256))]
        trainer = trainers.BpeTrainer(vocab_size=size or 400, special_tokens=names, show_progress=False)
    else:
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC() if kind == "unigram" else normalizers.NFD()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        names = list(special.values())
        trainer = trainers.UnigramTrainer(
            vocab_size=size or 120, special_tokens=names, unk_token="<unk>", show_progress=False
        )
    made.train_from_iterator(TEXTS, trainer)
    if kind == "wordpiece":
        added = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=added)
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **special)
