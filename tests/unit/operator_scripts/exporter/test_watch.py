from __future__ import annotations

import asyncio

from exporter_looks import seen

from segtriton_ops.exporter.results import Observation
from segtriton_ops.exporter.targets import Target
from segtriton_ops.exporter.watch import NO_ADDRESS, Watch

PODS = Target("pods", 1, each_address=True)


async def test_each_address_is_looked_at_and_those_that_are_gone_are_forgotten() -> None:
    addresses = ["a:1", "b:1"]

    async def look(target: Target, address: str) -> Observation:
        return seen()

    async def resolver(target: Target) -> list[str]:
        return list(addresses)

    heard: list[Observation] = []
    watch = Watch(
        [PODS], look, interval=1, concurrency=4, resolver=resolver, on_observation=lambda _, one: heard.append(one)
    )
    assert not watch.states
    await watch.run_round()
    assert set(watch.states[PODS].observations) == {"a:1", "b:1"}
    addresses[:] = ["b:1", "c:1"]
    await watch.run_round()
    assert set(watch.states[PODS].observations) == {"b:1", "c:1"}
    assert len(heard) == 4
    assert all("resolve" in one.probe.phases for one in heard)


async def test_no_more_looks_than_allowed_run_at_once() -> None:
    running = most = 0

    async def look(target: Target, address: str) -> Observation:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return seen()

    async def resolver(target: Target) -> list[str]:
        return [f"{number}:1" for number in range(20)]

    await Watch([PODS], look, interval=1, concurrency=3, resolver=resolver).run_round()
    assert most == 3


async def test_what_was_seen_is_there_while_another_look_hangs() -> None:
    never, first = asyncio.Event(), asyncio.Event()

    async def look(target: Target, address: str) -> Observation:
        if address == "b:1":
            await never.wait()
        return seen()

    async def resolver(target: Target) -> list[str]:
        return ["a:1", "b:1"]

    watch = Watch([PODS], look, interval=1, concurrency=2, resolver=resolver, on_observation=lambda *_: first.set())
    rounds = asyncio.create_task(watch.run())
    await first.wait()
    assert watch.states[PODS].addresses == ("a:1", "b:1")
    assert set(watch.states[PODS].observations) == {"a:1"}
    rounds.cancel()


async def test_a_name_without_addresses_is_a_failure_that_counts() -> None:
    async def look(target: Target, address: str) -> Observation:
        raise AssertionError("there is nothing to look at")

    async def resolver(target: Target) -> list[str]:
        raise OSError("no such name")

    heard: list[Observation] = []
    watch = Watch(
        [PODS], look, interval=1, concurrency=1, resolver=resolver, on_observation=lambda _, one: heard.append(one)
    )
    await watch.run_round()
    assert [one.probe.code for one in heard] == [NO_ADDRESS]
    assert watch.states[PODS].observations[""].probe.message == "no such name"


async def test_a_resolver_that_hangs_is_left() -> None:
    async def look(target: Target, address: str) -> Observation:
        raise AssertionError("there is nothing to look at")

    async def resolver(target: Target) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    watch = Watch([PODS], look, interval=1, concurrency=1, resolver=resolver, resolve_seconds=0.01)
    await watch.run_round()
    assert watch.states[PODS].observations[""].probe.code == NO_ADDRESS
