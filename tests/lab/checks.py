"""What one scenario compared: every line says what was expected, what Tare said, and how far apart they are."""

import re


class Skip(Exception):
    """The scenario cannot run here; the text says why."""


class Checks:
    def __init__(self):
        self.lines = []
        self.failed = 0

    def equal(self, what, expected, seen):
        self.add(what, show(expected), seen, expected == seen, expected)

    def within(self, what, expected, seen, percent, or_by=0):
        """`or_by`: an absolute difference that is always allowed, in the figure's own unit."""
        allowed = max(abs(expected) * percent / 100, or_by)
        holds = seen is not None and abs(seen - expected) <= allowed
        limit = f"within {percent} %" + (f" or {show(or_by)}" if or_by else "")
        self.add(what, f"{show(expected)} {limit}", seen, holds, expected)

    def between(self, what, low, seen, high):
        """One value where `low` and `high` are the same: then it is exact."""
        holds = seen is not None and low <= seen <= high
        self.add(what, show(low) if low == high else f"{show(low)} to {show(high)}", seen, holds, nearest(low, seen, high))

    def add(self, what, expected, seen, holds, expected_number):
        self.failed += not holds
        self.lines.append(f"  {'ok  ' if holds else 'FAIL'}  {what:<34} expected {expected:<34} seen {show(seen):<20} {difference(expected_number, seen)}")


def nearest(low, seen, high):
    return seen if seen is not None and low <= seen <= high else low if seen is None or seen < low else high


def number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def difference(expected, seen) -> str:
    if not number(expected) or not number(seen):
        return ""
    return f"{(seen - expected) / expected * 100:+.3f} %" if expected else f"{seen - expected:+g}"


def show(value) -> str:
    if value is None:
        return "–"
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1…", text)
