"""What the kernels ask of a GPU: operations, bytes, and the least time that they take.

Run as a program it prints the tables of kernels/README.md, which a test compares.
"""

from dataclasses import dataclass

import torch

from analogue.kernels._config import CORRELATION, PERMUTED_CCA, Config, shares


@dataclass(frozen=True)
class Gpu:
    """Rates from a data sheet (dense, without sparsity), an operation being a multiplication or an addition."""

    name: str
    flops: dict[str, float]  # a second, by type of the product
    memory: float  # bytes a second
    multiprocessors: int


H100 = Gpu(
    "H100 SXM",
    {"float64": 67e12, "float32": 67e12, "tf32": 494.7e12, "float16": 989.4e12, "bfloat16": 989.4e12},
    3.35e12,
    132,
)
PAPER = (30_000, 32_768, 32_768)  # tokens, features of Pythia-70m, features of Pythia-160m
SUBSPACES = (4000, 448, 654, 1000)  # pairs, directions kept of 512 and of 768, permutations


@dataclass(frozen=True)
class Roofline:
    """Work of one kernel, and the times that it takes at the full rate of each part."""

    operations: int
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
    """Return the roofline of `correlation_argmax`, without its moments, at a shape: 2 n F_A F_B operations.

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


def permuted_products(
    n: int, kx: int, ky: int, permutations: int, dtype: torch.dtype, precision: str, tile: Config, gpu: Gpu
) -> Roofline:
    """Return the roofline of `permuted_products` at a shape, with the operations of whole tiles.

    A tile loads its columns of x and of y, and the permutation. Memory gives both bases and the permutations once, if
    the L2 cache holds the bases, and takes the products.
    """
    KX, KY = (-(-k // 16) * 16 for k in (kx, ky))  # as the launcher pads them
    tiles_x, tiles_y = -(-KX // tile.block_a), -(-KY // tile.block_b)
    operations = 2 * n * permutations * tiles_x * tile.block_a * tiles_y * tile.block_b
    loaded = (KX * tiles_y + KY * tiles_x) * dtype.itemsize + 8 * tiles_x * tiles_y
    bases, indices = n * (KX + KY) * dtype.itemsize, 8 * n * permutations
    products = permutations * KX * KY * (8 if dtype == torch.float64 else 4)
    memory = bases + indices + products
    rate = gpu.flops["tf32" if precision == "tf32" else str(dtype).removeprefix("torch.")]
    return Roofline(operations, n * permutations * loaded, memory, operations / rate, memory / gpu.memory)


def table() -> str:
    """Return the Markdown table of the paper's shape on an H100, for `correlation_argmax`."""
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


def permuted_table() -> str:
    """Return the Markdown table of the null of one pair of subspaces on an H100, for `permuted_products`."""
    lines = [
        "| inputs | precision | tiles in use | asked of L2 | memory | product | roofline | L2 rate at the roofline |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    n, kx, ky, permutations = SUBSPACES
    for (dtype, precision), tile in PERMUTED_CCA["cuda"].items():
        work = permuted_products(*SUBSPACES, dtype, precision, tile, H100)
        cells = [
            str(dtype).removeprefix("torch."),
            f"`{precision}`",
            f"{200 * n * kx * ky * permutations / work.operations:.0f} %",
            f"{work.asked_bytes / 1e9:.0f} GB",
            f"{1e3 * work.memory_seconds:.2f} ms",
            f"{1e3 * work.compute_seconds:.1f} ms",
            f"{1e3 * work.seconds:.1f} ms",
            f"{work.cache_rate / 1e12:.1f} TB/s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(), permuted_table(), sep="\n\n")
