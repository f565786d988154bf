"""Files of explanations, written with the keys and in the way that Neuronpedia's export and delphi write them."""

import gzip
import json

import numpy as np


def neuronpedia_line(index, description, *, explainer="gpt-4o-mini", layer="6-res-jb", embedding=4, **more):
    """A row of the table Explanation, as the exporter dumps it; the index is a string, the embedding one as well."""
    values = np.random.default_rng(int(index)).normal(size=embedding).round(6).tolist()
    return json.dumps(
        {
            "id": f"cm{index}",
            "modelId": "gpt2-small",
            "layer": layer,
            "index": str(index),
            "authorId": "clkht01d40000jv08hvalcvly",
            "description": description,
            "embedding": json.dumps(values),
            "typeName": "oai_token-act-pair",
            "explanationModelName": explainer,
            "umap_x": 0.0,
            "umap_y": 0.0,
            "umap_cluster": None,
            "umap_log_feature_sparsity": 0.0,
            **more,
        }
    )


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_batches(folder, lines, size=3):
    """Batches in the order of the index as text, as the export's query sorts."""
    ordered = sorted(lines, key=lambda line: json.loads(line)["index"])
    for number, start in enumerate(range(0, len(ordered), size)):
        write_lines(folder / f"batch-{number}.jsonl.gz", ordered[start : start + size])
    return folder


def example(activating, prediction):
    """An example as delphi's classifiers save it."""
    return {
        "str_tokens": ["a", " b"],
        "activations": [0.0, 1.0],
        "distance": 1 if activating else -1,
        "activating": activating,
        "prediction": prediction,
        "probability": None,
        "correct": None if prediction is None else prediction == activating,
    }


def write_delphi(run, texts, module="layers.6", scores=None):
    """A run folder; ``scores`` by scorer and latent."""
    (run / "explanations").mkdir(parents=True, exist_ok=True)
    for latent, text in texts.items():
        (run / "explanations" / f"{module}_latent{latent}.txt").write_text(json.dumps(text))
    for scorer, of_latents in (scores or {}).items():
        (run / "scores" / scorer).mkdir(parents=True, exist_ok=True)
        for latent, examples in of_latents.items():
            (run / "scores" / scorer / f"{module}_latent{latent}.txt").write_text(json.dumps(examples))
    return run
