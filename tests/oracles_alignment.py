"""Alignment one character and one token at a time, as its definition reads."""

import unicodedata

import numpy as np


def joins(character):
    return (
        unicodedata.category(character).startswith("M")
        or 0x1160 <= ord(character) <= 0x11FF
        or ord(character) in (0xFF9E, 0xFF9F)
    )


def ends(text, spans):
    """Return {where a token ends: its index}."""
    found = {}
    for i, (start, end) in enumerate(spans):
        if start >= end:
            continue
        place = max(stop for begin, stop in spans[: i + 1] if begin < stop)
        behind = min((begin for begin, stop in spans[i + 1 :] if begin < stop), default=len(text))
        if place > behind:
            continue
        while place < len(text) and joins(text[place]):
            place += 1
        if place > behind:
            continue
        trimmed = place
        while trimmed > start and text[trimmed - 1].isspace():
            trimmed -= 1
        found[trimmed if trimmed > start else place] = i
    return found


def units(text, spans_a, spans_b, words=False):
    """Return [((first_a, last_a), (first_b, last_b), (start, end)), ...]."""
    ends_a, ends_b = ends(text, spans_a), ends(text, spans_b)
    found, first_a, first_b = [], 0, 0
    for place in range(1, len(text) + 1):
        if place not in ends_a or place not in ends_b:
            continue
        if words and place < len(text) and in_word(text[place - 1]) and in_word(text[place]):
            continue
        last_a, last_b = ends_a[place], ends_b[place]
        own = [s for s in (*spans_a[first_a : last_a + 1], *spans_b[first_b : last_b + 1]) if s[0] < s[1]]
        hull = (min(start for start, _ in own), max(place, *(end for _, end in own)))
        found.append(((first_a, last_a), (first_b, last_b), hull))
        first_a, first_b = last_a + 1, last_b + 1
    return found


def in_word(character):
    return character.isalnum() or unicodedata.category(character).startswith("M")


def blocks(pieces, rooms):
    """Cut pieces, sizes (of A, of B), into blocks; return where blocks of either side start, in tokens."""
    starts, done, i = ([], []), [0, 0], 0
    while i < len(pieces):
        j, sizes = i, [0, 0]
        while j < len(pieces) and all(sizes[s] + pieces[j][s] <= rooms[s] for s in (0, 1)):
            sizes = [sizes[s] + pieces[j][s] for s in (0, 1)]
            j += 1
        if j == i:
            sizes, j = list(pieces[i]), i + 1
        for s in (0, 1):
            starts[s].extend(range(done[s], done[s] + sizes[s], rooms[s]))
            done[s] += sizes[s]
        i = j
    return starts


def pooled(dense, runs, how):
    return np.array([getattr(dense[first : last + 1].astype(np.float64), how)(axis=0) for first, last in runs])
