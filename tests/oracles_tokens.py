"""Textbook top tokens: loops over a dense matrix."""

from fractions import Fraction


def top_tokens(x, token_ids):
    """For every column the token id with the largest positive sum, the lowest on ties; -1 without one."""
    found = []
    for column in x.T.tolist():
        sums = {}
        for token, value in zip(token_ids.tolist(), column, strict=True):
            sums[token] = sums.get(token, 0) + Fraction(value)
        most = max(sums.values(), default=0)
        found.append(min(token for token in sums if sums[token] == most) if most > 0 else -1)
    return found
