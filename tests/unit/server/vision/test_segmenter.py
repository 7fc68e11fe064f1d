"""Classes by their names: one, several, and all others."""

from typing import Any

import pytest

from segtriton_protocol import ErrorCode, MatteSpec, OutputSpec, SegtritonError
from segtriton_server.vision.segmenter import find_classes


class Animals:
    name = "animals"
    classes = ("background", "cat", "dog", "horse")
    default_class = "cat"


NETWORK: Any = Animals()


@pytest.mark.parametrize(
    ("asked", "names", "ids", "others"),
    [
        ("", ("cat",), {1}, {0, 2, 3}),
        ("dog", ("dog",), {2}, {0, 1, 3}),
        ("horse, cat", ("horse", "cat"), {1, 3}, {0, 2}),
        ("dog,dog", ("dog", "dog"), {2}, {0, 1, 3}),
        ("background,cat,dog,horse", ("background", "cat", "dog", "horse"), {0, 1, 2, 3}, set()),
    ],
)
def test_classes_are_found_by_their_names(asked: str, names: tuple[str, ...], ids: set[int], others: set[int]) -> None:
    assert find_classes(NETWORK, OutputSpec(class_name=asked), "") == (names, ids)
    assert find_classes(NETWORK, OutputSpec(class_name=asked, matte=MatteSpec(inverted=True)), "") == (names, others)


def test_the_settings_classes_are_for_who_names_none() -> None:
    assert find_classes(NETWORK, OutputSpec(), "horse, dog") == (("horse", "dog"), {2, 3})
    assert find_classes(NETWORK, OutputSpec(class_name="cat"), "horse, dog") == (("cat",), {1})


@pytest.mark.parametrize(
    ("asked", "unknown"), [("cow", "cow"), ("cat,cow", "cow"), ("cat,", ""), ("cat;dog", "cat;dog")]
)
def test_an_unknown_class_gets_the_list_of_those_that_there_are(asked: str, unknown: str) -> None:
    with pytest.raises(SegtritonError, match=f"no class '{unknown}'; it has background, cat, dog, horse") as caught:
        find_classes(NETWORK, OutputSpec(class_name=asked), "")
    assert caught.value.code is ErrorCode.UNKNOWN_CLASS
