"""`segops rebalance`: evens out live sessions over the pods, as after more pods came."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import click

from segtriton_ops.segops.context import Operation, pass_operation, wait_until
from segtriton_ops.segops.kubernetes_api import ClusterError, Json
from segtriton_ops.segops.output import table
from segtriton_ops.segops.release import SERVER


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=15.0,
    show_default=True,
    help="Seconds that sessions get to move; so long, at most, pods with their share take no new ones.",
)
@pass_operation
def rebalance(operation: Operation, timeout: float) -> None:
    """Let the fullest pods hand sessions on until all have about the same number.

    The newest sessions of a pod move, as they do when it drains, and lose no frame; no pod leaves.
    """
    before = count_sessions(operation)
    if not before:
        raise click.ClickException("no pod of the release is ready; see segops status.")
    keeps = shares(before)
    moving = sum(max(0, count - keeps[pod]) for pod, count in before.items())
    after = before
    if moving and not operation.settings.dry_run:
        operation.output.tell(f"{moving} of {sum(before.values())} sessions move")
        after = even_out(operation, before, keeps, timeout)
    finish(operation, before, keeps, after)


def count_sessions(operation: Operation) -> dict[str, int]:
    """Return the sessions of each pod that is ready and tells them."""
    pods = operation.release.pods()
    return {pod.name: pod.sessions for pod in pods if pod.state == "Ready" and pod.sessions is not None}


def shares(sessions: Mapping[str, int]) -> dict[str, int]:
    """Return how many sessions each pod keeps: an equal share, and where there are fewer, room for some that come."""
    share, rest = divmod(sum(sessions.values()), len(sessions))
    fullest = sorted(sessions, key=lambda pod: (-sessions[pod], pod))
    exact = {pod: share + (place < rest) for place, pod in enumerate(fullest)}
    room = max(1, share // 10)
    return {pod: most if sessions[pod] > most else most + room for pod, most in exact.items()}


def even_out(
    operation: Operation, before: Mapping[str, int], keeps: Mapping[str, int], seconds: float
) -> dict[str, int]:
    """Tell each pod what to keep, wait for the sessions to move, and return where they are."""
    after: dict[str, int] = {}

    def is_settled() -> bool:
        nonlocal after
        after = count_sessions(operation)
        have_arrived = sum(after.values()) >= sum(before.values())
        return have_arrived and all(after.get(pod, 0) <= most for pod, most in keeps.items())

    try:
        # The fullest last: when their sessions look for another pod, all know how many to take.
        for pod in sorted(keeps, key=lambda pod: before[pod]):
            tell_to_keep(operation, pod, keeps[pod], seconds)
        wait_until(is_settled, seconds)
    finally:
        for pod, most in keeps.items():
            with contextlib.suppress(ClusterError):  # it is gone, or ends it by itself
                tell_to_keep(operation, pod, most, 0)
    return after


def tell_to_keep(operation: Operation, pod: str, sessions: int, seconds: float) -> None:
    """Let a pod keep so many sessions for so long; the pod itself ends that, whatever becomes of this command."""
    command = ["segtriton-drain", "--keep", str(sessions), "--max-wait", f"{seconds:g}"]
    operation.cluster.execute(pod, SERVER, command)


def finish(operation: Operation, before: Mapping[str, int], keeps: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Tell the result; raises ClickException where sessions have stayed that were to move."""
    is_dry = operation.settings.dry_run
    stuck = [] if is_dry else [pod for pod, most in keeps.items() if after.get(pod, 0) > most]
    pods: list[Json] = [
        {"name": pod, "before": count, "keeps": min(count, keeps[pod]), "after": after.get(pod)}
        for pod, count in before.items()
    ]
    rows = [(pod["name"], pod["before"], pod["keeps"], pod["after"]) for pod in pods]
    text = table(("POD", "SESSIONS", "KEEPS", "NOW"), rows)
    dry = "\n(dry run)" if is_dry else ""
    operation.output.finish({"pods": pods, "even": not stuck, "dry_run": is_dry}, f"{text}{dry}")
    if stuck:
        raise click.ClickException(
            f"sessions of {', '.join(stuck)} did not move in time: clients of the CV-CUDA sample's contract never do, "
            "others may need a longer --timeout."
        )
