"""A file that is a list of others makes the client fetch nothing: who was sent it might not know what it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from segtriton_client import InputError
from segtriton_client.sources import open_input

SECRET = Path(__file__).parents[3] / ".assets" / "clips" / "carphone_pristine.mp4"
LISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("ending", ["mp4", "m3u8"])
def test_nothing_is_fetched_from_the_network(form: str, ending: str, listener: socket.socket, tmp_path: Path) -> None:
    host, port = listener.getsockname()
    given = tmp_path / f"given.{ending}"
    given.write_text(LISTS[form].format(f"http://{host}:{port}/other.mp4"))

    with pytest.raises(InputError):
        open_input(given)
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("form", LISTS)
def test_what_calls_itself_a_video_reads_no_file_elsewhere(form: str, tmp_path: Path) -> None:
    given = tmp_path / "given.mp4"
    given.write_text(LISTS[form].format(SECRET))

    with pytest.raises(InputError):
        open_input(given)
