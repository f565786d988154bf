"""Keywords by brute force: every run of words of every context against every keyword, words by one pattern."""
# ruff: noqa: RUF001

import re
from itertools import pairwise
from unicodedata import category, name, normalize

ALONE = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR")
WORD = re.compile("WM*|(?:^M+|(?=[LSD]))(?:DM*P(?=D)|[LSD]M*|A(?=[LSD])(?!S(?![LSDM])))*")
HYPHENS = ("-", "\N{HYPHEN}", "\N{NON-BREAKING HYPHEN}")
ESCAPED_NEWLINE = re.compile(r"\\+n")


def kind(character):
    """L letter, S the letter s, D digit, W a word by itself, M mark, A apostrophe, P point, O other."""
    if character in "sS'’.,\u200c\u200d\ufffd":
        return {"s": "S", "S": "S", "'": "A", "’": "A", ".": "P", ",": "P", "\ufffd": "L"}.get(character, "M")
    major = category(character)[0]
    if major in "LN" and name(character, "").startswith(ALONE):
        return "W"
    return {"L": "L", "N": "D", "M": "M"}.get(major, "O")


def kinds(text):
    return "".join(map(kind, ESCAPED_NEWLINE.sub(lambda found: "\n" * len(found[0]), text)))


def words(text):
    """Return (start, end) of every word."""
    return [found.span() for found in WORD.finditer(kinds(text)) if found[0]]


def spelling(text, case_sensitive):
    if not case_sensitive:
        text = normalize("NFD", text).casefold()
    return normalize("NFC", text.replace("’", "'"))


def gaps(text, spans):
    """Return what stands before, between and after the words, white space as single spaces."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    between = [text[start:end] for start, end in list(pairwise(edges))[::2]]
    return [re.sub(r"\s+", " ", ESCAPED_NEWLINE.sub(" ", gap)).replace("’", "'") for gap in between]


def words_or_all(text):
    return words(text) or ([(0, len(text))] if text else [])


def whole_words(left, token, right):
    """Return the places of the words that the context's edges cannot have cut."""
    text = left + token + right
    marks, spans = kinds(text), words(text)

    def cut(between, beside):
        return all(mark in ("AMP" if beside == "D" else "AM") for mark in between)

    whole = range(len(spans))
    if spans and right and cut(marks[spans[-1][1] :], marks[spans[-1][1] - 1]):
        whole = whole[:-1]
    if spans and left and cut(marks[: spans[0][0]], marks[spans[0][0]]):
        whole = [place for place in whole if place != 0]
    return spans, list(whole)


def joined(text, spans, first, last):
    """Say whether a hyphen stands between these words and another, or between them and the edge of the text."""
    before = text[spans[first - 1][1] if first else 0 : spans[first][0]]
    behind = text[spans[last][1] : spans[last + 1][0] if last + 1 < len(spans) else None]
    return before in HYPHENS or behind in HYPHENS


def is_hit(context, keyword, case_sensitive, regex, where, compounds=True):
    """Say whether one keyword stands in one context (left, token, right)."""
    left, token, right = context
    flags = 0 if case_sensitive else re.IGNORECASE
    if where == "substring":
        if regex:
            return bool(token) and bool(re.search(keyword, spelling(token, True), flags))
        return spelling(keyword.strip(), case_sensitive) in spelling(token, case_sensitive)
    if where == "token":
        text = token.strip()
        found = words_or_all(text)
        if regex:
            return bool(found) and bool(re.fullmatch(keyword, spelling(text[found[0][0] : found[-1][1]], True), flags))
        wanted = words_or_all(keyword.strip())
        return [spelling(text[slice(*span)], case_sensitive) for span in found] == [
            spelling(keyword.strip()[slice(*span)], case_sensitive) for span in wanted
        ]
    text, keyword = left + token + right, keyword if regex else keyword.strip()
    spans, whole = whole_words(left, token, right)
    touched = {place for place in whole if spans[place][0] < len(left + token) and spans[place][1] > len(left)}
    wanted = words(keyword)
    for first in whole:
        for last in [place for place in whole if place >= first]:
            run = spans[first : last + 1]
            if regex:
                stands = bool(re.fullmatch(keyword, spelling(text[run[0][0] : run[-1][1]], True), flags))
                stands &= first == last or where == "phrase"
            else:
                stands = [spelling(text[slice(*span)], case_sensitive) for span in run] == [
                    spelling(keyword[slice(*span)], case_sensitive) for span in wanted
                ]
            if stands and where == "word":
                stands = any(place in touched for place in range(first, last + 1))
            if stands and where == "phrase" and not regex:
                ours, theirs = gaps(text, spans)[first : last + 2], gaps(keyword, wanted)
                stands = ours[1:-1] == theirs[1:-1] and ours[0].endswith(theirs[0]) and ours[-1].startswith(theirs[-1])
            if stands and (compounds or not joined(text, spans, first, last)):
                return True
    return False


def keyword_hits(labels, groups, where):
    """Return rows (feature, group, keyword, contexts)."""
    rows = []
    for feature in range(labels.n_features):
        contexts = labels.contexts(feature)
        for g, group in enumerate(groups):
            for k, keyword in enumerate(group.keywords):
                rules = (group.case_sensitive, group.regex, where, group.compounds)
                found = sum(is_hit(context, keyword, *rules) for context in contexts)
                if found:
                    rows.append((feature, g, k, found))
    return rows
