"""How far the mean canonical correlation is from an SVD in float64, by the way it is computed.

Run as a program it prints the table of kernels/README.md, on the CPU, in a few seconds; its last digit depends on the
libraries of linear algebra.
"""

import numpy as np
import torch

from analogue.ops import permuted_cca

PERMUTATIONS = 3


def basis(n, k, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, k)))[0]


def cases():
    """Name, both bases, and the orders of the second's rows."""
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(4000) for _ in range(PERMUTATIONS)])
    narrow, wide, mixed = basis(4000, 448, 1), basis(4000, 654, 2), basis(1000, 150, 3)
    yield "448 and 654 of 4000 rows, permuted", narrow, wide, orders
    yield "448 and 448 of 4000 rows, permuted", narrow, basis(4000, 448, 4), orders
    yield "448 of 4000 rows with themselves", narrow, narrow, np.arange(4000)[None]
    name = "100 and 100 of 1000 rows, 50 of them shared, 50 orthogonal"
    yield name, mixed[:, :100], mixed[:, 50:], np.arange(1000)[None]


def all_in_float32(qx, qy, orders):
    """What the op does not offer: a Gram matrix in float32 too."""
    x, y = (torch.from_numpy(side.astype(np.float32)) for side in (qx, qy))
    products = [x.T @ y[order] for order in torch.from_numpy(orders)]
    return [torch.linalg.eigvalsh(m @ m.T).clamp(min=0).sqrt().double().sum().item() for m in products]


def table() -> str:
    lines = [
        "| bases | float64, Gram | float64, SVD | float32, Gram | float32, SVD | float32, Gram in float32 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, qx, qy, orders in cases():
        exact = np.array([np.linalg.svd(qx.T @ qy[order], compute_uv=False).sum() for order in orders])
        ways = [
            permuted_cca(qx.astype(dtype), qy.astype(dtype), orders, singular_values=way, device="cpu")
            for dtype in (np.float64, np.float32)
            for way in ("gram", "svd")
        ]
        ways.append(np.array(all_in_float32(qx, qy, orders)))
        errors = [np.abs(way - exact).max() / min(qx.shape[1], qy.shape[1]) for way in ways]
        lines.append(f"| {name} | {' | '.join(f'{error:.0e}' for error in errors)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
