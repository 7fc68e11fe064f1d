"""Runs a network on what the sessions of a batch brought, each frame with its own session's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtriton_server.vision.gpu.runner import GraphRunner


@dataclass(slots=True)
class SessionState:
    """What the network has kept of a session's frames so far: a tensor [1, ...] for each of the card's states."""

    tensors: tuple[Tensor, ...]


class SessionRunner:
    """Gathers frames into runs of the graph's batch sizes; see `Runner` for the attributes.

    A network without states runs on all frames together. With states it runs on the first frame of each session, then
    on the second of each, and so on.
    """

    def __init__(self, graph: GraphRunner, max_batch_size: int, starts: Sequence[float] = ()) -> None:
        """Take a captured graph.

        Args:
            graph: the network, whose largest batch may be smaller.
            max_batch_size: the most frames of all sessions together.
            starts: the value of each state's elements at a session's first frame.
        """
        self._graph = graph
        self._starts = starts
        self._most = len(graph.inputs)
        self._is_direct = not starts and self._most >= max_batch_size
        self.inputs, self.weights = graph.inputs[:max_batch_size], graph.weights[:max_batch_size]
        if not self._is_direct:
            self.inputs = graph.inputs.new_zeros((max_batch_size, *graph.inputs.shape[1:]))
            self.weights = graph.weights.new_zeros((max_batch_size, *graph.weights.shape[1:]))

    def start(self) -> SessionState | None:
        """A new session's state; None where the network keeps nothing."""
        if not self._starts:
            return None
        states = zip(self._graph.states, self._starts, strict=True)
        return SessionState(tuple(torch.full_like(state[:1], start) for state, start in states))

    def run(self, count: int) -> Tensor:
        """See `Runner`; with states, each frame is the first of a session."""
        return self.run_sessions([1] * count, [None] * count)

    def run_sessions(self, lengths: Sequence[int], states: Sequence[SessionState | None]) -> Tensor:
        """Return the masks uint8 [n, h, w] of the first inputs, valid until the next run on this stream.

        Args:
            lengths: how many frames each group has; groups lie behind each other in `inputs`.
            states: of each group's session, changed; groups of one session are in order. A group without one is a
                session of its own.
        """
        count = sum(lengths)
        if self._is_direct:
            return self._graph.run(count)
        masks = torch.empty((count, *self.inputs.shape[1:3]), dtype=torch.uint8, device=self.inputs.device)
        for rows, kept in _rounds(lengths, [state or self.start() for state in states]):
            for first in range(0, len(rows), self._most):
                self._run(rows[first : first + self._most], kept[first : first + self._most], masks)
        return masks

    def _run(self, rows: Sequence[int], kept: Sequence[SessionState | None], masks: Tensor) -> None:
        graph, count = self._graph, len(rows)
        sessions = [state for state in kept if state is not None]
        _copy_each(graph.inputs[:count], [self.inputs[row] for row in rows])
        _copy_each(graph.weights[:count], [self.weights[row] for row in rows])
        for at, state in enumerate(graph.states):
            _copy_each(state[:count], [session.tensors[at][0] for session in sessions])
        found, *after = graph.run_with_states(count)
        torch._foreach_copy_([masks[row] for row in rows], list(found.unbind()))
        for at, state in enumerate(after):
            torch._foreach_copy_([session.tensors[at][0] for session in sessions], list(state.unbind()))


def _rounds(
    lengths: Sequence[int], states: Sequence[SessionState | None]
) -> list[tuple[list[int], list[SessionState | None]]]:
    """Which inputs run together, and with which states: never two of one session.

    Without states all do.
    """
    rounds: list[tuple[list[int], list[SessionState | None]]] = []
    turns: dict[int, int] = {}
    row = 0
    for length, state in zip(lengths, states, strict=True):
        for _ in range(length):
            turn = 0 if state is None else turns.get(id(state), 0)
            turns[id(state)] = turn + 1
            if turn == len(rounds):
                rounds.append(([], []))
            rounds[turn][0].append(row)
            rounds[turn][1].append(state)
            row += 1
    return rounds


def _copy_each(target: Tensor, sources: list[Tensor]) -> None:
    """Copy to each row of a target, in few launches."""
    torch._foreach_copy_(list(target.unbind()), sources)
