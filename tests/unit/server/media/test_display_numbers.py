from segtriton_server.media.display_numbers import DisplayNumbers


def test_pictures_find_their_packets_by_pts() -> None:
    numbers = DisplayNumbers()
    names = [numbers.give(seq, pts) for seq, pts in enumerate([0, 300, 100, 200])]

    assert names == [0, 300, 100, 200]
    assert [numbers.take(name) for name in sorted(names)] == [0, 2, 3, 1]


def test_missing_and_repeated_timestamps_get_names_of_their_own() -> None:
    numbers = DisplayNumbers()
    names = [numbers.give(seq, pts) for seq, pts in enumerate([None, None, 7, 7, None])]

    assert len(set(names)) == 5
    assert [numbers.take(name) for name in names] == [0, 1, 2, 3, 4]


def test_a_picture_comes_once() -> None:
    numbers = DisplayNumbers()
    name = numbers.give(5, 50)

    assert [numbers.take(name), numbers.take(name), numbers.take(51)] == [5, -1, -1]


def test_packets_whose_pictures_never_come_are_forgotten() -> None:
    numbers = DisplayNumbers()
    names = [numbers.give(seq, seq * 10) for seq in range(1000)]

    assert numbers.take(names[0]) == -1
    assert numbers.take(names[999]) == 999
