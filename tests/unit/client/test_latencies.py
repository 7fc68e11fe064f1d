from array import array

from segtriton_client.latencies import MAX_LATENCIES, add_latency


def test_the_newest_are_kept_however_many_there_are() -> None:
    kept = array("d", bytes(8 * (MAX_LATENCIES - 1)))
    for seconds in (1.0, 2.0, 3.0):
        add_latency(kept, seconds)
    assert len(kept) == MAX_LATENCIES // 2 + 2
    assert kept[-3:].tolist() == [1.0, 2.0, 3.0]
