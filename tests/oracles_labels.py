"""Oracles of labels: rows taken one by one, junk and words by their definitions, as short as can be."""

import re
import unicodedata

import numpy as np


def take(rows, values, k, documents=None):
    """Take k rows in the order given, of a document only the first."""
    taken, seen = [], set()
    for row in rows:
        document = row if documents is None else documents[row]
        if len(taken) < k and document not in seen:
            seen.add(document)
            taken.append((row, values[row]))
    return taken


def top(x, k, documents):
    """Rows where each column of x is positive, largest first, a document once: lists of (row, value)."""
    found = []
    for column in x.T:
        order = sorted(np.flatnonzero(column > 0).tolist(), key=lambda row: (-column[row], row))
        found.append(take(order, column, k, documents))
    return found


def sampled(x, k, bands, turns, documents=None):
    """The rows whose turn is first in each band of each column, the highest band first: lists of (row, value)."""
    found = []
    for column in x.T:
        fired = sorted(np.flatnonzero(column > 0).tolist(), key=lambda row: turns[row])
        edges = np.arange(bands + 1) * float(column.max(initial=0))  # times bands
        for low, high in zip(edges[-2::-1], edges[:0:-1], strict=True):
            inside = [row for row in fired if low < float(column[row]) * bands <= high]
            drawn = take(inside, column, k, documents)
            found.append(sorted(drawn, key=lambda entry: (-entry[1], entry[0])))
    return found


def filled(lists, k):
    """Lists of (row, value) as arrays, -1 and 0 where they are short."""
    rows = [[row for row, _ in own] + [-1] * (k - len(own)) for own in lists]
    values = [[value for _, value in own] + [0] * (k - len(own)) for own in lists]
    return np.array(rows).reshape(-1, k), np.array(values, dtype=np.float32).reshape(-1, k)


def word_window(text, start, end, before_words, after_words):
    """The window of ``start:end`` by looking at every run between white space."""
    runs = [match.span() for match in re.finditer(r"\S+", text)]
    own = [i for i, (first, last) in enumerate(runs) if first < end and last > start]
    before = [i for i, (_, last) in enumerate(runs) if last <= start and i not in own]
    after = [i for i, (first, _) in enumerate(runs) if first >= end and i not in own]
    shown = own + before[max(len(before) - before_words, 0) :] + after[:after_words]
    return min([start] + [runs[i][0] for i in shown]), max([end] + [runs[i][1] for i in shown])


def words(text, start, end):
    """The words that ``start:end`` overlaps: maximal runs of letters, digits and marks; or the token itself."""

    def inside(i):
        return 0 <= i < len(text) and (text[i].isalnum() or unicodedata.category(text[i]).startswith("M"))

    found = []
    for first in range(len(text)):
        for last in range(first + 1, len(text) + 1):
            whole = all(inside(i) for i in range(first, last)) and not inside(first - 1) and not inside(last)
            if whole and first < end and last > start:
                found.append(text[first:last])
    return found or [own for own in [text[start:end].strip()] if own and start < end]


def correlation_parts(correlation, junk, parts):
    """(pairs, lowest, highest, junk) of equal parts by correlation."""
    order = sorted(range(len(correlation)), key=lambda i: correlation[i])
    sizes = [len(order) // parts + (i < len(order) % parts) for i in range(parts)]
    found = []
    for size in filter(None, sizes):
        own, order = order[:size], order[size:]
        found.append((size, correlation[own[0]], correlation[own[-1]], sum(bool(junk[i]) for i in own)))
    return found
