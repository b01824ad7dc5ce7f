"""Counts of times, as exact at 100 µs as at 10 s (the buckets of HDR histograms).

Times of an open loop are measured from the moment when something was due. So a server that stands still is seen in
all that waited, and not only in what happened to be sent (coordinated omission).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

_BITS = 7
"""A bucket is at most 1/2^7 of its times wide: less than 1 %."""
_FINE = 1 << _BITS
_MICROSECONDS = 1_000_000

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class LatencyHistogram:
    """Counts times by buckets. Times are in seconds, and kept to a microsecond or 1 %."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter(counts or {})

    @classmethod
    def of(cls, times: Iterable[float]) -> Self:
        """Return the counts of some times."""
        histogram = cls()
        for seconds in times:
            histogram.record(seconds)
        return histogram

    @classmethod
    def load(cls, counts: Mapping[str, int]) -> Self:
        """Return what `dump` has written."""
        return cls({int(bucket): count for bucket, count in counts.items()})

    def dump(self) -> dict[str, int]:
        """Return the counts by bucket, as JSON has them."""
        return {str(bucket): self.counts[bucket] for bucket in sorted(self.counts)}

    def record(self, seconds: float) -> None:
        self.counts[bucket_of(int(seconds * _MICROSECONDS))] += 1

    def add(self, other: "LatencyHistogram") -> None:
        """Take the counts of another one too."""
        self.counts.update(other.counts)

    def __len__(self) -> int:
        return self.counts.total()

    def percentile(self, percent: float) -> float:
        """Return the time in seconds that `percent` of the times do not exceed, up to 1 % above it."""
        rank = max(1, -(-len(self) * percent // 100))
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return highest_in(bucket) / _MICROSECONDS
        return 0.0

    def figures(self, name: str = "") -> dict[str, float]:
        """Return the percentiles in ms, by a name such as `p99 ms`."""
        return {f"{name}p{percent:g} ms".lstrip(): self.percentile(percent) * 1000 for percent in PERCENTILES}


def bucket_of(value: int) -> int:
    """Return the bucket of a number that is not negative. Below 256 each number has its own."""
    shift = max(0, value.bit_length() - _BITS - 1)
    return (shift << _BITS) + (max(0, value) >> shift)


def highest_in(bucket: int) -> int:
    """Return the highest number of a bucket."""
    if bucket < 2 * _FINE:
        return bucket
    shift = (bucket >> _BITS) - 1
    return ((bucket & _FINE - 1) + _FINE + 1 << shift) - 1
