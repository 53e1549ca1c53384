"""Estimating quantiles from what fell into buckets, and from the sum of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import isnan, nan
from operator import mul

HALF = 0.5


def quantile(bounds: Sequence[float], counts: Sequence[int], total: float, q: float) -> float:
    """Return an estimate, in seconds; NaN where nothing was observed.

    What a bucket holds is taken to be spread evenly about the middle that `middles` gives it, as
    widely as the bucket's bounds allow. For what lies above the last bound, that is the answer.

    Args:
        bounds: upper bounds in seconds, inclusive, rising.
        counts: observations per bucket, one more than there are bounds: the last has no bound.
        total: seconds, over all observations; NaN where that is not known.
        q: from 0 to 1.
    """
    number = sum(counts)
    if not number:
        return nan
    rank = q * number
    reached = list(accumulate(counts))
    index = next(i for i, n in enumerate(reached) if n >= rank and counts[i])
    if index == len(bounds):
        return bounds[-1]
    share = (rank - reached[index] + counts[index]) / counts[index]
    middle = middles(bounds, counts, total)[index]
    place = middle + (2.0 * share - 1.0) * min(middle, 1.0 - middle)
    lower = bounds[index - 1] if index else 0.0
    return lower + (bounds[index] - lower) * place


def middles(bounds: Sequence[float], counts: Sequence[int], total: float) -> list[float]:
    """Return for each bucket at which part of its width, from 0 to 1, its mean is taken to be.

    It leans towards the neighbour that holds more; then all are moved by the same part of their way
    to one end, so that the sum comes out. Where all is in one bucket, that makes it the mean. Half
    of the width where the sum does not tell: it is not known, or some are above the last bound.
    """
    if isnan(total) or counts[-1]:
        return [HALF] * len(bounds)
    edges = (0.0, *bounds)
    widths = [upper - lower for lower, upper in pairwise(edges)]
    held = list(zip(counts, widths, strict=False))
    leaning = leanings([n / width if width else 0.0 for n, width in held])
    rooms = [n * width for n, width in held]
    room = sum(rooms)
    taken = sum(map(mul, rooms, leaning))
    wanted = total - sum(n * lower for n, lower in zip(counts, edges, strict=True))
    if not room:
        return leaning
    if wanted <= taken:
        scale = max(wanted, 0.0) / taken
        return [each * scale for each in leaning]
    scale = max(room - wanted, 0.0) / (room - taken)
    return [1.0 - (1.0 - each) * scale for each in leaning]


def leanings(densities: Sequence[float]) -> list[float]:
    """Return for each bucket how much of what is near it is on its upper side, half of it its own.

    Args:
        densities: observations a second of a bucket's width.
    """
    before, after = (0.0, *densities[:-1]), (*densities[1:], 0.0)
    return [
        (above + HALF * own) / (below + own + above) if own else HALF
        for below, own, above in zip(before, densities, after, strict=True)
    ]
