import pytest

from segtriton_ops.segops.rebalance import shares


@pytest.mark.parametrize(
    ("sessions", "keeps"),
    [
        ({"a": 4, "b": 0}, {"a": 2, "b": 3}),
        ({"a": 6, "b": 0, "c": 0}, {"a": 2, "b": 3, "c": 3}),
        ({"a": 1, "b": 4, "c": 0}, {"a": 3, "b": 2, "c": 2}),
        ({"a": 2, "b": 2}, {"a": 3, "b": 3}),
        ({"a": 3, "b": 2}, {"a": 4, "b": 3}),
        ({"a": 100, "b": 0}, {"a": 50, "b": 55}),
        ({"a": 7}, {"a": 8}),
        ({"a": 0, "b": 0}, {"a": 1, "b": 1}),
    ],
)
def test_who_has_more_keeps_an_equal_share_and_others_get_room(sessions: dict[str, int], keeps: dict[str, int]) -> None:
    assert shares(sessions) == keeps


@pytest.mark.parametrize("counts", [(9, 1, 0), (3, 3, 0), (10, 10, 10), (1, 0, 0, 0), (17, 2, 30, 4)])
def test_all_sessions_find_a_place(counts: tuple[int, ...]) -> None:
    sessions = {f"pod-{number}": count for number, count in enumerate(counts)}
    keeps = shares(sessions)
    assert sum(keeps.values()) >= sum(counts)
    assert max(min(count, keeps[pod]) for pod, count in sessions.items()) <= -(-sum(counts) // len(counts))
