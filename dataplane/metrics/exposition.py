"""Prometheus' text format, version 0.0.4. Pure: names, labels and values in, text out.

Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"


class Metric(NamedTuple):
    """A metric's name, type and meaning."""

    name: str
    type: str  # GAUGE, COUNTER or HISTOGRAM
    help: str  # one sentence


class HistogramValue(NamedTuple):
    """A histogram at one moment."""

    bounds: Sequence[float]  # the largest value of each bucket
    counts: Sequence[int]  # of each bucket alone; one more than bounds
    sum: float  # of all values


def labels(named: Mapping[str, object]) -> str:
    """`{name="value",…}`, "" without labels."""
    inner = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in named.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def head(metric: Metric) -> str:
    """The two lines above a metric's samples."""
    told = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {metric.name} {told}\n# TYPE {metric.name} {metric.type}\n"


def family(metric: Metric, samples: Iterable[tuple[str, float]]) -> str:
    """A metric with its samples. samples: labels as `labels` writes them, and the value."""
    name = metric.name
    return head(metric) + "".join([f"{name}{labelled} {value}\n" for labelled, value in samples])


def histogram(metric: Metric, values: Mapping[str, tuple[Mapping[str, object], HistogramValue]]) -> str:
    """A metric of histograms. values: by any key, the labels and the histogram."""
    return head(metric) + "".join(line for named, value in values.values() for line in _buckets(metric, named, value))


def _buckets(metric: Metric, named: Mapping[str, object], value: HistogramValue) -> Iterator[str]:
    total = 0
    for bound, count in zip((*value.bounds, "+Inf"), value.counts, strict=True):
        total += count
        yield f"{metric.name}_bucket{labels({**named, 'le': bound})} {total}\n"
    yield f"{metric.name}_sum{labels(named)} {value.sum}\n"
    yield f"{metric.name}_count{labels(named)} {total}\n"
