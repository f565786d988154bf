"""`analogue compare`: two models, their dictionaries and a text; every setting is an option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..aligned_corpus import ALIGNMENTS, AlignedCorpus
from ..aligned_corpus import align as align_corpora
from ..compare_models import CHECKS, compare
from ..corpus import Corpus, same_tokenizer
from ..documents import special_ids
from ..junk_lists import DEFAULT
from ..labels import TARGETS, UNITS
from ..matching import METRICS
from ..nulls.permutations import METHODS
from ..pair_settings import ASSIGNMENT_TOP, STAGES
from ..rules import RULES
from ..runs import check_target
from ..settings import NULL_NAMES, Settings
from ..sides import load_side, shared_context_length
from ..similarity import MEASURES
from .options import (
    Device,
    DeviceMap,
    Dtype,
    Json,
    MaxTokens,
    NoActivations,
    Out,
    Overwrite,
    Permutations,
    Seed,
    names_of,
    permutations_of,
)
from .output import finish, progress_bars

_DEFAULTS = Settings()


def compare_command(
    model_a: Annotated[str, typer.Argument(metavar="MODEL_A", help="A transformers checkpoint: a folder or a hub id.")],
    model_b: Annotated[str, typer.Argument(metavar="MODEL_B", help="The same, for side B.")],
    text: Annotated[list[Path], typer.Option(help="Text that both models read: .txt or .jsonl; may be repeated.")],
    out: Out,
    sae_a: Annotated[list[str], typer.Option(help="SAE of A: a hook folder or its repository; may be repeated.")] = [],  # noqa: B006
    site_a: Annotated[list[str], typer.Option(help="Site of A, such as layers.2; the nth goes with the nth SAE.")] = [],  # noqa: B006
    sae_b: Annotated[list[str], typer.Option(help="SAE of B; none: the site's neurons.")] = [],  # noqa: B006
    site_b: Annotated[list[str], typer.Option(help="Site of B; none: the SAE's own.")] = [],  # noqa: B006
    by: Annotated[
        str, typer.Option(help="Match by activations, or by directions: two dictionaries of one space.")
    ] = _DEFAULTS.by,
    metric: Annotated[str, typer.Option(help=f"Match by {', '.join(METRICS)}.")] = _DEFAULTS.metric,
    given: Annotated[str | None, typer.Option(help="Match by r given the token, or the bigram.")] = None,
    pairs: Annotated[str, typer.Option(help=f"Pairing rule: {', '.join(RULES)}.")] = _DEFAULTS.pairs,
    capacity: Annotated[int | None, typer.Option(help="Pairs a feature may have under --pairs capacity.")] = None,
    direction: Annotated[
        str, typer.Option(help="The side that chooses under --pairs capacity: b_to_a or a_to_b.")
    ] = _DEFAULTS.direction,
    top: Annotated[
        int | None, typer.Option(help=f"Partners kept a feature; default: {ASSIGNMENT_TOP} for assignment, else 1.")
    ] = None,
    min_multiplicity: Annotated[int | None, typer.Option(help="Keep only features with so many pairs.")] = None,
    max_multiplicity: Annotated[int | None, typer.Option(help="The most pairs of a feature.")] = None,
    multiplicity_policy: Annotated[
        str, typer.Option(help="What a feature with more keeps: drop (none), first or best.")
    ] = _DEFAULTS.multiplicity_policy,
    multiplicity_keep: Annotated[
        int | None, typer.Option(help="How many it keeps under first or best; default: --max-multiplicity.")
    ] = None,
    one_to_one: Annotated[str | None, typer.Option(help="Then keep features once: strict, best or first.")] = None,
    min_activations: Annotated[int, typer.Option(help="Tokens a feature must fire on.")] = _DEFAULTS.min_activations,
    min_correlation: Annotated[
        float, typer.Option(help="Lower end of the band of the correlation matched by: plain, or --given.")
    ] = 0.1,
    max_correlation: Annotated[float | None, typer.Option(help="Upper end of the correlation band.")] = None,
    min_correlation_given_token: Annotated[float | None, typer.Option(help="Least r given the token.")] = None,
    junk: Annotated[
        str, typer.Option(help="Junk rule: majority, any, off, or a number: so many of a feature's top tokens.")
    ] = str(_DEFAULTS.junk),
    junk_preset: Annotated[
        str, typer.Option(help="What is junk: default, wide, original-13, my-junk.toml, ..., with commas between.")
    ] = DEFAULT,
    junk_keep: Annotated[str, typer.Option(help="Characters that are never junk, such as '+-*/=<>%'.")] = "",
    shared_words: Annotated[
        int, typer.Option(help="Keep only pairs that have so many whole top words in common.")
    ] = _DEFAULTS.shared_words,
    stages: Annotated[
        str, typer.Option(help="The order of the filters, with commas between; those asked for must be named.")
    ] = ",".join(STAGES),
    label_k: Annotated[int, typer.Option(help="Top tokens of every feature.")] = _DEFAULTS.label_k,
    label_window: Annotated[int, typer.Option(help="Context on each side of a token.")] = _DEFAULTS.label_window,
    label_unit: Annotated[str, typer.Option(help=f"What it counts: {', '.join(UNITS)}.")] = _DEFAULTS.label_unit,
    label_target: Annotated[
        str, typer.Option(help=f"Label with the activating token, or the next: {', '.join(TARGETS)}.")
    ] = _DEFAULTS.label_target,
    one_per_document: Annotated[
        bool, typer.Option("--one-per-document", help="Label with the strongest token of a document only.")
    ] = False,
    null: Annotated[str, typer.Option(help=f"Null hypothesis: {', '.join(NULL_NAMES)}.")] = _DEFAULTS.null,
    method: Annotated[str, typer.Option(help=f"How nulls are had: {', '.join(METHODS)}.")] = _DEFAULTS.method,
    stop: Annotated[
        int | None, typer.Option(help="End the draws of a measure when so many reach what was observed.")
    ] = None,
    token_null: Annotated[
        int | None, typer.Option(help="Draws of the token-conditional null of mean r, each matched again.")
    ] = None,
    measures: Annotated[
        str,
        typer.Option(
            help=f"Measures, with commas between: {', '.join(MEASURES)}. "
            "z less rate is of rsa, cka and mutual_knn, or of all where none of these is asked for."
        ),
    ] = ",".join(_DEFAULTS.measures),
    min_pairs: Annotated[int, typer.Option(help="With fewer pairs there is no score.")] = _DEFAULTS.min_pairs,
    split_half: Annotated[
        bool, typer.Option("--split-half", help="Match on half of the documents, correlate on the other half.")
    ] = False,
    convergence: Annotated[
        bool, typer.Option("--convergence", help="Pair and score growing parts of the text too.")
    ] = False,
    permutations: Permutations = str(_DEFAULTS.permutations),
    seed: Seed = _DEFAULTS.seed,
    max_tokens: MaxTokens = None,
    context_length: Annotated[
        int | None, typer.Option(help="Tokens a block; default: 256 or the models' limit.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of a .jsonl line that holds the text.")] = "text",
    activation: Annotated[str, typer.Option(help="post: SAE features; pre: rectified pre-activations.")] = "post",
    align: Annotated[
        str | None,
        typer.Option(
            help=f"Align tokens of both sides by {', '.join(ALIGNMENTS)}; default: last where the tokenizers differ."
        ),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="How overlap and word pool features over a unit's tokens: mean, max or sum.")
    ] = None,
    keep_special: Annotated[bool, typer.Option("--keep-special", help="Keep special tokens.")] = False,
    check: Annotated[
        str, typer.Option(help="Where an SAE seems to be at the wrong site: stop, warn and go on, or off.")
    ] = CHECKS[0],
    baseline: Annotated[
        list[str],
        typer.Option(
            help="Control beside the first sites only, may be repeated: rerandomized, shuffled-tokens, step0=MODEL, "
            "second-seed or second-seed=SAE; rerandomized=neither leaves embeddings as they are. Dictionaries are "
            "trained where none is given, and saved with the run."
        ),
    ] = [],  # noqa: B006
    device: Device = "auto",
    device_map: DeviceMap = None,
    dtype: Dtype = "float32",
    batch_size: Annotated[
        int | None, typer.Option(help="Blocks of text in one forward pass; halved where memory does not suffice.")
    ] = None,
    no_activations: NoActivations = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare two models at one site each, or at several: then every pair of sites is a cell of a grid."""
    arguments: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value for name, value in locals().items()
    }
    drawn = permutations_of(permutations)
    arguments |= {"command": "compare", "text": [str(path) for path in text], "permutations": drawn}
    check_target(out, overwrite=overwrite)
    settings = Settings(
        by=by,
        metric=metric,
        given=given,
        pairs=pairs,
        capacity=capacity,
        direction=direction,
        top=top,
        min_multiplicity=min_multiplicity,
        max_multiplicity=max_multiplicity,
        multiplicity_policy=multiplicity_policy,
        multiplicity_keep=multiplicity_keep,
        one_to_one=one_to_one,
        min_activations=min_activations,
        min_correlation=min_correlation,
        max_correlation=max_correlation,
        min_correlation_given_token=min_correlation_given_token,
        junk=int(junk) if junk.isdecimal() else junk,
        junk_preset=junk_preset,
        junk_keep=junk_keep,
        shared_words=shared_words,
        stages=tuple(names_of(stages)),
        label_k=label_k,
        label_window=label_window,
        label_unit=label_unit,
        label_target=label_target,
        one_per_document=one_per_document,
        null=null,
        method=method,
        stop=stop,
        token_null=token_null,
        measures=tuple(names_of(measures)),
        permutations=drawn,
        seed=seed,
        min_pairs=min_pairs,
        split_half=split_half,
        convergence=convergence,
    )
    how: dict[str, Any] = {"activation": activation, "dtype": dtype, "device_map": device_map}
    side_a, tokenizer = load_side(model_a, sae_a, site_a, **how)
    side_b, tokenizer_b = load_side(model_b, sae_b, site_b, **how)
    same = same_tokenizer(tokenizer, tokenizer_b)
    if same and align is None and pool is not None:
        raise ValueError(f"pool needs align overlap or word, got pool={pool} and both sides have one tokenizer")
    reading: dict[str, Any] = {
        "context_length": shared_context_length((side_a, side_b), context_length),
        "text_field": text_field,
        "keep_special": keep_special,
        "max_tokens": max_tokens,
    }
    specials = special_ids(tokenizer) | special_ids(tokenizer_b) if same else ()
    corpus: Corpus | AlignedCorpus
    corpus = corpus_a = Corpus.from_files(text, tokenizer, **reading, extra_special_ids=specials)
    if align is not None or not same:
        corpus_b = Corpus.from_files(text, tokenizer_b, **reading, extra_special_ids=specials)
        corpus = align_corpora(corpus_a, corpus_b, "last" if align is None else align, pool)
    with progress_bars() as progress:
        result = compare(
            side_a,
            side_b,
            corpus,
            settings,
            check=check,
            baselines=baseline,
            batch_size=batch_size,
            device=device,
            arguments=arguments,
            progress=progress,
        )
    finish(result, out, overwrite=overwrite, activations=not no_activations, as_json=as_json)
