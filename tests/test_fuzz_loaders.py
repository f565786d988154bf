"""Mutated checkpoints of every format: a dictionary or one sentence, never another error, never code that runs."""

import io
import json
import pickle
import random
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from analogue import load_dictionary
from checkpoints import WRITERS
from test_dictionaries import D, F, sae, sparse_coder

FIXTURES = Path(__file__).parent / "fixtures"
WRITTEN = {
    "sparsify": lambda root: sparse_coder(root / "layers.2"),
    "sparsify, transcoder": lambda root: sparse_coder(root / "layers.2", transcode=True, skip_connection=True),
    "saelens, standard": lambda root: sae(root, "standard"),
    "saelens, jumprelu": lambda root: sae(root, "jumprelu"),
    "saelens, topk": lambda root: sae(root, "topk", rescale_acts_by_decoder_norm=True),
    "saelens, gated": lambda root: sae(root, "gated"),
    "saelens, transcoder": lambda root: sae(root, "jumprelu_skip_transcoder", d_out=9),
    "saelens, old": lambda root: flat(root),
}
RECORDED = [path.parent for path in sorted(FIXTURES.rglob("expected.safetensors"))]
SLICES, EACH = 10, 1000


def flat(root):
    sae(root, "topk")
    config = {"d_in": D, "d_sae": F, "hook_point": "blocks.1.hook_resid_post", "activation_fn_str": "topk"}
    (root / "cfg.json").write_text(json.dumps(config | {"activation_fn_kwargs": {"k": 7}}))


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """One folder a checkpoint."""
    folders = []
    for name, write in (WRITTEN | WRITERS).items():
        folders.append(tmp_path_factory.mktemp("".join(filter(str.isalnum, name))))
        write(folders[-1])
    for source in RECORDED:
        folders.append(tmp_path_factory.mktemp(source.name) / "copy")
        shutil.copytree(source, folders[-1], ignore=shutil.ignore_patterns("expected.safetensors"))
    return folders


# --- mutations -------------------------------------------------------------------------------------------------------

ODD = [None, True, False, 0, -1, 1, 7, 2.5, 1e308, float("nan"), 10**40, "", "x", "topk", [], [1], {}, {"k": 1}]


def of_bytes(rng, content):
    """Truncated, flipped, zeroed, lengthened."""
    content = bytearray(content)
    place = rng.randrange(len(content)) if content else 0
    match rng.randrange(5):
        case 0:
            del content[place:]
        case 1:
            for _ in range(rng.randrange(1, 9)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        case 2:
            content[place : place + 16] = bytes(min(16, len(content) - place))
        case 3:
            content[place:place] = rng.randbytes(rng.randrange(1, 40))
        case 4:
            content = bytearray(rng.randbytes(rng.randrange(200)))
    return bytes(content)


def of_json(rng, content):
    """A field dropped, renamed, or of another value or type, at any depth."""
    config = json.loads(content)
    target = config
    while True:
        key = rng.choice(list(target))
        if not (isinstance(target[key], dict) and target[key] and rng.random() < 0.7):
            break
        target = target[key]
    match rng.randrange(4):
        case 0:
            del target[key]
        case 1:
            target[f"{key}_"] = target.pop(key)
        case 2:
            target[key] = rng.choice(ODD)
        case 3:
            return json.dumps(rng.choice([[config], "config", 3, None, {key: config}])).encode()
    return json.dumps(config).encode()


def of_tensors(rng, suffix, content):
    """A tensor dropped, renamed, transposed, cut, emptied, spoilt, of another type, or one too many."""
    read, write = {".safetensors": (load, save), ".npz": (read_npz, write_npz)}.get(suffix, (read_pt, write_pt))
    held = dict(read(content))
    name = rng.choice([name for name, value in held.items() if isinstance(value, torch.Tensor)])
    tensor = held[name]
    match rng.randrange(9):
        case 0:
            del held[name]
        case 1:
            held[f"{name}_"] = held.pop(name)
        case 2:
            held[name] = tensor.T.contiguous() if tensor.ndim == 2 else tensor.reshape(1, -1)
        case 3:
            held[name] = tensor.flatten()[: tensor.numel() // 2].clone()
        case 4:
            held[name] = tensor.new_zeros((0, *tensor.shape[1:]))
        case 5:
            held[name] = spoiling(rng, tensor)
        case 6:
            held[name] = tensor.to(rng.choice([torch.int64, torch.bool, torch.float16, torch.float64]))
        case 7:
            held["one_too_many"] = torch.zeros(3)
        case 8:
            held[name] = tensor.reshape(-1)[0].clone()
    return write(held)


def spoiling(rng, tensor):
    tensor = tensor.clone(memory_format=torch.contiguous_format)
    if tensor.is_floating_point():
        tensor.view(-1)[rng.randrange(tensor.numel())] = rng.choice([torch.nan, torch.inf, -torch.inf])
    return tensor


def read_pt(content):
    return torch.load(io.BytesIO(content), weights_only=True)


def write_pt(held):
    torch.save(held, file := io.BytesIO())
    return file.getvalue()


def read_npz(content):
    return {name: torch.from_numpy(array) for name, array in np.load(io.BytesIO(content)).items()}


def write_npz(held):
    np.savez(file := io.BytesIO(), **{name: tensor.numpy() for name, tensor in held.items()})
    return file.getvalue()


def mutate(rng, file):
    """Change one file, and return its old content."""
    content = file.read_bytes()
    kind = rng.random()
    if kind < 0.02:
        new = None
    elif kind < 0.4:
        new = of_bytes(rng, content)
    elif file.suffix == ".json":
        new = of_json(rng, content)
    elif file.suffix == ".yaml":
        new = b""
    else:
        new = of_tensors(rng, file.suffix, content)
    file.unlink()  # the library may still have the old one mapped
    if new is not None:
        file.write_bytes(new)
    return content


def answer(folder):
    """Load, and use what was loaded; return the sentence if there was one."""
    try:
        with warnings.catch_warnings(action="ignore"):
            dictionary = load_dictionary(folder)
    except (ValueError, TypeError, OSError) as error:
        sentence = str(error)
        assert sentence.strip()
        assert "\n" not in sentence, sentence
        return sentence
    assert dictionary.n_features <= 1000
    assert dictionary.encode(torch.ones(2, dictionary.d_in)).shape == (2, dictionary.n_features)
    return None


@pytest.mark.parametrize("part", range(SLICES))
def test_mutated_checkpoints_load_or_give_one_sentence(originals, part):
    refused = 0
    for seed in range(part * EACH, (part + 1) * EACH):
        rng = random.Random(seed)
        folder = rng.choice(originals)
        file = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        content = mutate(rng, file)
        try:
            refused += answer(folder) is not None
        except Exception as error:
            error.add_note(f"seed {seed}: {file}")
            raise
        finally:
            file.unlink(missing_ok=True)
            file.write_bytes(content)
    assert 0.5 < refused / EACH < 0.95
    assert all(answer(folder) is None for folder in originals)


# --- code in files ---------------------------------------------------------------------------------------------------


class Touches:
    """An object whose unpickling makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def planted(kind, file, target):
    evil = Touches(target)
    match kind:
        case "torch":
            torch.save({"W_enc": torch.zeros(2, 2), "b_enc": evil}, file)
        case "torch, before 1.6":
            torch.save({"W_enc": torch.zeros(2, 2), "b_enc": evil}, file, _use_new_zipfile_serialization=False)
        case "pickle":
            file.write_bytes(pickle.dumps({"W_enc": evil}))
        case "numpy":
            np.savez(content := io.BytesIO(), W_enc=np.array([evil, 1], dtype=object))
            file.write_bytes(content.getvalue())
        case "zip":
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("archive/data.pkl", pickle.dumps({"W_enc": evil}))
                archive.writestr("archive/version", "3")


@pytest.mark.parametrize("kind", ["torch", "torch, before 1.6", "pickle", "numpy", "zip"])
def test_code_in_a_file_is_never_run(kind, tmp_path):
    target = tmp_path / "touched"
    planted(kind, tmp_path / "alive", target)
    with warnings.catch_warnings(action="ignore"):
        if kind == "numpy":
            np.load(tmp_path / "alive", allow_pickle=True)["W_enc"]
        elif kind == "pickle":
            pickle.loads((tmp_path / "alive").read_bytes())
        else:
            torch.load(tmp_path / "alive", weights_only=False)
    assert target.exists()  # the plant works
    target.unlink()
    for case, write in (WRITTEN | WRITERS).items():
        folder = tmp_path / "".join(filter(str.isalnum, case))
        folder.mkdir()
        write(folder)
        for file in [path for path in folder.rglob("*") if path.suffix in (".pt", ".pth", ".npz", ".safetensors")]:
            planted(kind, file, target)
            with warnings.catch_warnings(action="ignore"), pytest.raises((ValueError, OSError)) as caught:
                load_dictionary(file)
            assert "\n" not in str(caught.value)
            assert "In PyTorch 2.6" not in str(caught.value)  # torch's advice to run it all the same
            assert not target.exists(), file


@pytest.mark.parametrize("case", ["sparsify", "saelens, jumprelu", "gemma scope, residual", "goodfire", "llama scope"])
def test_the_command_line_prints_the_sentence_and_no_traceback(case, run, tmp_path):
    from analogue.demo import folder

    (WRITTEN | WRITERS)[case](tmp_path)
    file = next(path for path in tmp_path.rglob("*") if path.suffix in (".pth", ".npz", ".safetensors"))
    content = file.read_bytes()
    for damage in (
        lambda: file.write_bytes(content[: len(content) // 2]),
        lambda: planted("torch", file, tmp_path / "t"),
    ):
        file.unlink()
        damage()
        text = folder() / "held_out.jsonl"
        status, out, err = run("inspect", folder() / "model_a", tmp_path, "--text", text)
        assert (status, out) == (2, "")
        assert "Traceback" not in err
        assert file.name in err.replace("\n", "")
        assert not (tmp_path / "t").exists()
