"""What the correlation kernel asks of a GPU: operations, bytes, and the least time that they take.

Run as a program it prints the table of kernels/README.md, which a test compares.
"""

from dataclasses import dataclass

import torch

from analogue.kernels._config import CORRELATION, Config, shares


@dataclass(frozen=True)
class Gpu:
    """Rates from a data sheet (dense, without sparsity), an operation being a multiplication or an addition."""

    name: str
    flops: dict[str, float]  # a second, by type of the product
    memory: float  # bytes a second
    multiprocessors: int


H100 = Gpu("H100 SXM", {"float32": 67e12, "tf32": 494.7e12, "float16": 989.4e12, "bfloat16": 989.4e12}, 3.35e12, 132)
PAPER = (30_000, 32_768, 32_768)  # tokens, features of Pythia-70m, features of Pythia-160m


@dataclass(frozen=True)
class Roofline:
    """Work of one call without its moments, and the times that it takes at the full rate of each part."""

    operations: int  # 2 n F_A F_B
    asked_bytes: int  # that programs load, from the L2 cache where it has them
    memory_bytes: float  # that the L2 cache loads, if programs that run at once keep step
    compute_seconds: float
    memory_seconds: float

    @property
    def seconds(self) -> float:
        return max(self.compute_seconds, self.memory_seconds)

    @property
    def cache_rate(self) -> float:
        """Bytes a second that the L2 cache must give for the roofline to be reached."""
        return self.asked_bytes / self.seconds


def correlation(n: int, F_A: int, F_B: int, dtype: torch.dtype, precision: str, tile: Config, gpu: Gpu) -> Roofline:
    """Return the roofline of `correlation_argmax` at a shape.

    A block of y is loaded anew for every block of x and the reverse: n F_A F_B (1 / BLOCK_A + 1 / BLOCK_B) elements. A
    multiprocessor has registers for one program. Those that run at once share tiles: with s shares of x, a tile of y
    is for s of them, and a tile of x for multiprocessors / s.
    """
    product = {"tf32": "tf32", "bf16": "bfloat16"}.get(precision, str(dtype).removeprefix("torch."))
    operations = 2 * n * F_A * F_B
    size = n * dtype.itemsize
    x_bytes = size * F_A * -(-F_B // tile.block_b)
    y_bytes = size * F_B * -(-F_A // tile.block_a)
    _, parts = shares(F_A, tile)
    rows = max(1.0, min(gpu.multiprocessors / parts, F_B / tile.block_b))
    memory = max(x_bytes / rows + y_bytes / parts, size * (F_A + F_B))
    return Roofline(operations, x_bytes + y_bytes, memory, operations / gpu.flops[product], memory / gpu.memory)


def table() -> str:
    """Return the Markdown table of the paper's shape on an H100."""
    lines = [
        "| inputs | precision | asked of L2 | from memory | memory | product | roofline | L2 rate at the roofline |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (dtype, precision), tile in CORRELATION["cuda"].items():
        work = correlation(*PAPER, dtype, precision, tile, H100)
        cells = [
            str(dtype).removeprefix("torch."),
            f"`{precision}`",
            f"{work.asked_bytes / 1e12:.2f} TB",
            f"{work.memory_bytes / 1e12:.2f} TB",
            f"{work.memory_seconds:.3f} s",
            f"{work.compute_seconds:.3f} s",
            f"{work.seconds:.3f} s",
            f"{work.cache_rate / 1e12:.1f} TB/s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
