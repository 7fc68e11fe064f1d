"""How the series of a release are selected, and what most panels ask of them."""

from __future__ import annotations

PODS = 'namespace="$namespace",pod=~"$pod"'
NAMESPACE = 'namespace="$namespace"'
TARGET = 'namespace="$namespace",target=~"$probed"'
WINDOW = "$__rate_interval"


def of(metric: str, more: str = "", *, labels: str = PODS) -> str:
    """A metric's series of the chosen pods."""
    return f"{metric}{{{labels}{f',{more}' if more else ''}}}"


def rate(metric: str, more: str = "", *, labels: str = PODS, window: str = WINDOW) -> str:
    """How fast a counter grows, a second."""
    return f"rate({of(metric, more, labels=labels)}[{window}])"


def total(expr: str, *by: str) -> str:
    """The sum, for each value of some labels."""
    return f"sum by ({', '.join(by)}) ({expr})" if by else f"sum({expr})"


def quantile(share: float, metric: str, *by: str, more: str = "", labels: str = PODS) -> str:
    """A quantile of a histogram."""
    buckets = total(rate(f"{metric}_bucket", more, labels=labels), "le", *by)
    return f"histogram_quantile({share:g}, {buckets})"


def mean(metric: str, *by: str) -> str:
    """The mean of a histogram's values."""
    return f"{total(rate(f'{metric}_sum'), *by)} / {total(rate(f'{metric}_count'), *by)}"


def taking(metric: str) -> str:
    """A metric of the pods that take sessions; one that drains sends its own to the others."""
    return f"({of(metric)} unless on (pod) ({of('segtriton_draining')} == 1))"


def of_gpu(metric: str) -> str:
    """A metric of DCGM's exporter, whose labels for a pod are renamed where its scrape does not honour them."""
    renamed = 'exported_namespace="$namespace",exported_pod=~"$pod"'
    return f"({of(metric)} or {of(metric, labels=renamed)})"
