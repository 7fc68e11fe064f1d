import pytest

from segtriton_protocol import ErrorCode, MatteSpec, OutputSpec, SegtritonError
from segtriton_server.workers.accelerator import refuse_matte


def test_masks_that_are_left_as_they_are_are_welcome_everywhere() -> None:
    refuse_matte(OutputSpec())


def test_a_matte_is_refused_by_the_names_of_what_was_asked_for() -> None:
    with pytest.raises(SegtritonError, match=r"output.matte \(smoothing, inverted\)") as caught:
        refuse_matte(OutputSpec(matte=MatteSpec(smoothing=0.5, inverted=True)))
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPTION
