"""What is computed from what was measured: medians, spreads, ratios, verdicts. No input, no output."""

from dataclasses import dataclass, field
from typing import List, Optional


def median(values):
    """The middle one, or halfway between the middle two."""
    if not values:
        raise ValueError("no values have no median")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Summary:
    """A median, and what it lies between."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(values):
        return Summary(median(values), min(values), max(values))


def ratios(ours, theirs):
    """Ours divided by theirs, round by round: what slows both of a round down leaves its ratio as it is."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds of ours cannot be held against {len(theirs)} of theirs")
    if any(value <= 0 for value in theirs):
        raise ValueError("theirs was not measured: a round of it is zero")
    return [mine / other for mine, other in zip(ours, theirs)]


@dataclass(frozen=True)
class Target:
    """A bound: `at_most` or `at_least`, of the ratio if there is one to compare with, else of our own figure."""

    at_least: Optional[float] = None
    at_most: Optional[float] = None

    def __str__(self):
        if self.at_least is not None:
            return f"≥ {number(self.at_least)}"
        return f"≤ {number(self.at_most)}"

    def holds(self, value):
        if self.at_least is not None:
            return value >= self.at_least
        return value <= self.at_most


@dataclass
class Row:
    """One thing measured in several rounds: ours, and perhaps that of somebody else in the same rounds."""

    what: str
    unit: str
    ours: List[float]
    theirs: List[float] = field(default_factory=list)
    # Whom ours is compared with.
    peer: str = ""
    target: Optional[Target] = None
    # Where the peer is there for scale, our own figure is what has a target.
    is_ratio_judged: bool = True
    note: str = ""

    @property
    def ratio(self):
        return Summary.of(ratios(self.ours, self.theirs)) if self.theirs else None

    @property
    def judged(self):
        """What the target is about."""
        ratio = self.ratio
        return ratio.median if ratio and self.is_ratio_judged else Summary.of(self.ours).median

    @property
    def verdict(self):
        if self.target is None:
            return ""
        return "yes" if self.target.holds(self.judged) else "**no**"


def slope(before, after, count_before, count_after):
    """What each one more takes: the process itself, and what it grew by for the first ones, do not count."""
    if count_after <= count_before:
        raise ValueError(f"from {count_before} to {count_after} there are no more of them")
    return (after - before) / (count_after - count_before)


def number(value):
    """Three digits that mean something, and thousands told apart."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"
