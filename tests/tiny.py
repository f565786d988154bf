"""Real tokenizers and models of a few thousand weights, made here; nothing is downloaded."""

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = (
    "The cat sat on the mat, and the dog sat on the cat. Time flies like an arrow; fruit flies like a banana.\n"
    "Whether the weather be fine, or whether the weather be not, we weather the weather whatever the weather!"
)


def tokenizer(kind):
    """A fast tokenizer that adds nothing (`plain`), `<bos>` in front (`bos`), or `[CLS]` and `[SEP]` (`bert`)."""
    if kind == "bert":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        made.train_from_iterator([TEXT], trainers.WordPieceTrainer(special_tokens=list(special.values())))
        added = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=added)
        made.decoder = decoders.WordPiece()
        return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **special)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = {"eos_token": "<eos>"} | ({"bos_token": "<bos>"} if kind == "bos" else {})
    made.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=list(special.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if kind == "bos":
        added = [("<bos>", made.token_to_id("<bos>"))]
        made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=added)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special)


SIZES = {
    "vocab_size": 330,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
}
GROUPED = {"num_key_value_heads": 1, "head_dim": 12}
GPT2 = {"vocab_size": 330, "n_embd": 24, "n_layer": 4, "n_head": 2, "n_positions": 64}

FAMILIES = {  # configuration, and which tokenizer the family has
    "gpt_neox": (lambda: transformers.GPTNeoXConfig(**SIZES), "plain"),
    "gpt2": (lambda: transformers.GPT2Config(**GPT2), "plain"),
    "llama": (lambda: transformers.LlamaConfig(**SIZES, num_key_value_heads=1), "bos"),
    "gemma": (lambda: transformers.GemmaConfig(**SIZES, **GROUPED), "bos"),
    "gemma2": (lambda: transformers.Gemma2Config(**SIZES, **GROUPED, sliding_window=8), "bos"),
    "bert": (lambda: transformers.BertConfig(**SIZES), "bert"),
    "opt": (
        lambda: transformers.OPTConfig(
            vocab_size=330,
            hidden_size=24,
            num_hidden_layers=4,
            num_attention_heads=2,
            ffn_dim=40,
            max_position_embeddings=64,
            word_embed_proj_dim=24,
        ),
        "plain",
    ),
    "bloom": (lambda: transformers.BloomConfig(vocab_size=330, hidden_size=24, n_layer=4, n_head=2), "plain"),
}


def model(family, auto=transformers.AutoModel):
    """A random model of a family; its weights are large enough for every block to change the residual stream."""
    torch.manual_seed(0)
    made = auto.from_config(FAMILIES[family][0]())
    for name, weights in made.named_parameters():
        if weights.ndim == 2 and "embed" not in name:
            torch.nn.init.normal_(weights, std=0.2)
    return made.eval()
