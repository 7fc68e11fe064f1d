"""Looks at every address of every target, again and again; what was seen last is there at any time, without waiting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from segtriton_client.probe_result import ProbeResult
from segtriton_ops.exporter.results import Observation, TritonState
from segtriton_ops.exporter.targets import Target, resolve

_LOG = logging.getLogger(__name__)
NO_ADDRESS = "NO_ADDRESS"

Look = Callable[[Target, str], Awaitable[Observation]]
Resolve = Callable[[Target], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class TargetState:
    """A target's addresses, and what was seen last of each; of one without addresses the entry "" tells why."""

    addresses: tuple[str, ...] = ()
    observations: Mapping[str, Observation] = field(default_factory=dict)


class Watch:
    """Rounds over all targets.

    At most `concurrency` looks run at once. A round begins `interval` seconds after the last one began, or when that is
    over, if later. `on_observation` hears of each look as it ends.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        look: Look,
        *,
        interval: float,
        concurrency: int,
        resolve_seconds: float = 5.0,
        resolver: Resolve = resolve,
        on_observation: Callable[[Target, Observation], None] = lambda target, observation: None,
    ) -> None:
        self._targets = tuple(targets)
        self._look = look
        self._interval = interval
        self._slots = asyncio.Semaphore(concurrency)
        self._resolve_seconds = resolve_seconds
        self._resolver = resolver
        self._on_observation = on_observation
        self._states: Mapping[Target, TargetState] = {}
        self._round_began = time.monotonic()

    @property
    def states(self) -> Mapping[Target, TargetState]:
        """What was seen last of each target; a mapping that nobody changes any more."""
        return self._states

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is watched."""
        return self._targets

    def seconds_since_round(self) -> float:
        """How long ago the last round began."""
        return time.monotonic() - self._round_began

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.gather(self.run_round(), asyncio.sleep(self._interval))

    async def run_round(self) -> None:
        """Look at each address once; what is seen of one is there as soon as it is seen."""
        self._round_began = time.monotonic()
        await asyncio.gather(*(self._look_at_target(target) for target in self._targets))

    async def _look_at_target(self, target: Target) -> None:
        begun = time.monotonic()
        try:
            addresses = await asyncio.wait_for(self._resolver(target), self._resolve_seconds)
        except (OSError, asyncio.TimeoutError) as error:
            self._set_addresses(target, [])
            self._note(target, "", _nowhere(str(error) or "The name was not resolved in time."))
            return
        seconds = time.monotonic() - begun
        self._set_addresses(target, addresses)
        await asyncio.gather(*(self._look_at_address(target, address, seconds) for address in addresses))

    async def _look_at_address(self, target: Target, address: str, resolve_seconds: float) -> None:
        async with self._slots:
            self._note(target, address, with_resolve(await self._look(target, address), resolve_seconds))

    def _set_addresses(self, target: Target, addresses: list[str]) -> None:
        """Forget what was seen of addresses that are gone."""
        seen = self._states.get(target, TargetState()).observations
        kept = {address: seen[address] for address in addresses if address in seen}
        self._states = {**self._states, target: TargetState(tuple(addresses), kept)}

    def _note(self, target: Target, address: str, observation: Observation) -> None:
        state = self._states[target]
        observations = {**state.observations, address: observation}
        self._states = {**self._states, target: replace(state, observations=observations)}
        if not observation.probe.success:
            _LOG.warning("%s (%s): %s: %s", address, target, observation.probe.code, observation.probe.message)
        self._on_observation(target, observation)


def _nowhere(message: str) -> Observation:
    return Observation(ProbeResult(NO_ADDRESS, message, finished_at=time.time()), TritonState())


def with_resolve(observation: Observation, seconds: float) -> Observation:
    """Return the observation with the time that its address took to be found."""
    phases = {"resolve": seconds, **observation.probe.phases}
    return replace(observation, probe=replace(observation.probe, phases=phases))
