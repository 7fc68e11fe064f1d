"""The exporter as a whole: rounds on an event loop, pages on threads beside it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from prometheus_client import CollectorRegistry

from segtriton_ops.exporter.collector import WatchCollector
from segtriton_ops.exporter.observer import Observer
from segtriton_ops.exporter.results import Observation
from segtriton_ops.exporter.targets import Target, resolve
from segtriton_ops.exporter.totals import Totals
from segtriton_ops.exporter.watch import Watch, with_resolve
from segtriton_ops.exporter.web import Application, ProbeRefusedError, serve

_STALE_ROUNDS = 4


@dataclass(frozen=True)
class Settings:
    """How often and how many at once; `allowed` are patterns of further hosts that /probe takes."""

    interval: float = 30.0
    concurrency: int = 4
    allowed: Sequence[str] = ()


class Exporter:
    """Watches targets and answers for them; made inside the event loop that it then runs on."""

    def __init__(self, targets: Sequence[Target], observer: Observer, settings: Settings) -> None:
        self._observer = observer
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._asked = asyncio.Semaphore(settings.concurrency)
        registry = CollectorRegistry()
        totals = Totals(registry)
        self.watch = Watch(
            targets,
            self._look,
            interval=settings.interval,
            concurrency=settings.concurrency,
            on_observation=totals.add,
        )
        for target in targets:
            totals.watch(target)
        registry.register(WatchCollector(lambda: self.watch.states))
        self.application = Application(registry, self.probe_once, self.is_alive, self.is_ready, observer.seconds)

    async def run(self, host: str, port: int) -> None:
        """Watch and answer until cancelled; raises OSError where the port is taken."""
        server = serve(self.application, host, port)
        threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
        try:
            await self.watch.run()
        finally:
            server.shutdown()
            server.server_close()

    def is_alive(self) -> bool:
        """Whether rounds still begin; a round takes no longer than its looks, one after the other."""
        looks = sum(len(state.observations) for state in self.watch.states.values()) + 1
        return self.watch.seconds_since_round() < _STALE_ROUNDS * (
            self._settings.interval + looks * self._observer.seconds
        )

    def is_ready(self) -> bool:
        """Whether something was seen of each target."""
        states = self.watch.states
        return all(target in states and states[target].observations for target in self.watch.targets)

    def probe_once(self, target: Target, seconds: float) -> Observation:
        """Look at a target, called by another thread.

        Raises:
            ProbeRefusedError: The target may not be asked for.
            concurrent.futures.TimeoutError: There was no turn for it within `seconds`.
        """
        hosts = [*(watched.host for watched in self.watch.targets), *self._settings.allowed]
        if not any(fnmatch(target.host, pattern) for pattern in hosts):
            # Whoever asks chooses where the exporter shows its token and its certificate.
            raise ProbeRefusedError(f"{target.host} is not watched and matches no --allow pattern.")
        looking = asyncio.run_coroutine_threadsafe(self._probe_once(target, seconds), self._loop)
        try:
            return looking.result(seconds + 1)
        except concurrent.futures.TimeoutError:
            looking.cancel()
            raise

    async def _probe_once(self, target: Target, seconds: float) -> Observation:
        deadline = time.monotonic() + seconds
        async with self._asked:
            begun = time.monotonic()
            try:
                [address, *_] = await resolve(target)
            except OSError:
                address = str(target)  # whose connection fails, and says why
            resolved = time.monotonic() - begun
            looked = await self._observer.look(address, target.host, deadline - time.monotonic())
            return with_resolve(looked, resolved)

    async def _look(self, target: Target, address: str) -> Observation:
        return await self._observer.look(address, target.host if target.each_address else "")
