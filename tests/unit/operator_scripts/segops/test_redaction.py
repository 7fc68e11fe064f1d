import pytest

from segtriton_ops.segops.redaction import REDACTED, redact_object, redact_text

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("authorization: Bearer abc.def-123456", "abc.def-123456"),
        ("connecting with token=hunter2hunter2 to it", "hunter2hunter2"),
        ('{"password": "correct-horse"}', "correct-horse"),
        ("--grpc-restricted-protocol=statistics:segtriton-admin-key=Zx81Zx81", "Zx81Zx81"),
        (PEM, "MIIEvQIBADANBg"),
        ("s3 at https://user:open-sesame@minio:9000", "open-sesame"),
    ],
)
def test_a_secret_does_not_stay_in_a_text(text: str, secret: str) -> None:
    redacted = redact_text(text)
    assert secret not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize(
    "text",
    [
        "opened: decoder libavcodec h264, encoder libx264",
        "frame 3 is a keyframe",
        "60 tokens",
        "$(SEGTRITON_ADMIN_KEY)",
    ],
)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_variables_that_sound_secret_lose_their_value_and_objects_their_bookkeeping() -> None:
    pod = {
        "metadata": {"name": "a", "managedFields": [{"manager": "helm"}]},
        "spec": {"env": [{"name": "SEGTRITON_ADMIN_KEY", "value": "1"}, {"name": "TZ", "value": "UTC"}]},
    }
    assert redact_object([pod]) == [
        {
            "metadata": {"name": "a"},
            "spec": {"env": [{"name": "SEGTRITON_ADMIN_KEY", "value": REDACTED}, {"name": "TZ", "value": "UTC"}]},
        }
    ]


def test_a_reference_to_a_secret_stays() -> None:
    reference = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "segtriton-token", "key": "token"}}}
    assert redact_object(reference) == reference
