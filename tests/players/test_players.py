"""The results, opened by programs of other people: Debian's FFmpeg and Chromium."""

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from numbered_clips import FRAMES, Recipe
from segclient_runs import succeed

from segtriton_server.launch import TritonProcess

# Plays a video to its end, and says what came of it: size, length, and the colours of a pixel in the middle of the
# first and of the last frame, drawn on a page that is green.
PAGE = """<!doctype html><body><pre id="said"></pre><canvas id="canvas"></canvas>
<video id="video" src="{name}" muted></video><script>
const said = {{errors: []}}, video = document.getElementById("video"), canvas = document.getElementById("canvas");
function pixel() {{
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const drawing = canvas.getContext("2d");
  drawing.clearRect(0, 0, canvas.width, canvas.height);
  drawing.drawImage(video, 0, 0);
  return Array.from(drawing.getImageData(4, canvas.height - 4, 1, 1).data);
}}
function finish() {{ document.getElementById("said").textContent = "SAID" + JSON.stringify(said) + "DIAS"; }}
video.onerror = () => {{ said.errors.push(video.error.message); finish(); }};
video.onloadeddata = () => {{
  said.width = video.videoWidth; said.height = video.videoHeight; said.first = pixel();
  video.currentTime = Math.max(0, video.duration - 0.02);
}};
video.onseeked = () => {{ said.duration = video.duration; said.last = pixel(); finish(); }};
</script></body>"""


def show(web: str, folder: Path, name: str) -> dict[str, object]:
    """What Chromium says of a video."""
    page = f"{name}.html"  # of its own: a page that changes within a second is not loaded again
    (folder / page).write_text(PAGE.format(name=name))
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options = ["--virtual-time-budget=20000", "--timeout=20000", "--dump-dom", f"{web}/{page}"]
    done = subprocess.run([*browser, *options], capture_output=True, text=True, timeout=55, check=False)
    found = re.search("SAID(.*)DIAS", done.stdout)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    answer: dict[str, object] = json.loads(found.group(1))
    return answer


def probe(path: Path) -> dict[str, object]:
    """What ffprobe says of the video track; it must not complain."""
    entries = "stream=codec_name,width,height,nb_read_frames,sample_aspect_ratio,color_space,color_range"
    words = ["ffprobe", "-v", "warning", "-select_streams", "v", "-count_frames", "-show_entries", entries]
    done = subprocess.run([*words, "-of", "json", path], capture_output=True, text=True, timeout=55, check=True)
    assert done.stderr == ""
    stream: dict[str, object] = json.loads(done.stdout)["streams"][0]
    return stream


def decode(path: Path) -> None:
    """Decode all tracks with ffmpeg, which must not complain."""
    words = ["ffmpeg", "-v", "warning", "-xerror", "-i", path, "-f", "null", "-"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=55, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_ffmpeg_decodes_every_container(server: TritonProcess, tmp_path: Path, ending: str, codec: str) -> None:
    given = Recipe(codec, audio_tracks=1, sample_aspect=Fraction(16, 11), color=(1, 1, 1, 1)).write(tmp_path)
    made = tmp_path / f"made.{ending}"
    succeed(server, "-sv", given, "-o", made)

    seen = probe(made)
    assert (seen["codec_name"], seen["width"], seen["height"]) == ("h264", 192, 128)
    assert (seen["nb_read_frames"], seen["sample_aspect_ratio"]) == (str(FRAMES), "16:11")
    assert (seen["color_space"], seen["color_range"]) == ("bt709", "tv")
    decode(made)


def test_ffmpeg_takes_standard_output(server: TritonProcess, tmp_path: Path) -> None:
    made = succeed(server, "-sv", Recipe(audio_tracks=1).write(tmp_path), "-o", "-").stdout
    words = ["ffmpeg", "-v", "warning", "-xerror", "-i", "pipe:0", "-f", "framecrc", "-map", "v", "-"]
    done = subprocess.run(words, input=made, capture_output=True, timeout=55, check=True)

    assert done.stderr == b""
    assert len([line for line in done.stdout.splitlines() if not line.startswith(b"#")]) == FRAMES


def test_chromium_plays_an_mp4(server: TritonProcess, tmp_path: Path, web: str) -> None:
    succeed(server, "-sv", Recipe(audio_tracks=1).write(tmp_path), "-o", tmp_path / "made.mp4")
    seen = show(web, tmp_path, "made.mp4")

    assert seen["errors"] == []
    assert (seen["width"], seen["height"]) == (192, 128)
    assert seen["duration"] == pytest.approx(FRAMES / 25, abs=0.1)


def test_chromium_sees_through_a_webm_with_alpha(server: TritonProcess, tmp_path: Path, web: str) -> None:
    succeed(server, "-sv", Recipe().write(tmp_path), "--effect", "cutout", "-o", tmp_path / "made.webm")
    succeed(server, "-sv", Recipe().write(tmp_path), "-o", tmp_path / "solid.mp4")
    cut, solid = show(web, tmp_path, "made.webm"), show(web, tmp_path, "solid.mp4")

    assert cut["errors"] == solid["errors"] == []
    assert cut["first"][3] < 30  # type: ignore[index]  # no person stands in that corner
    assert solid["first"][3] == 255  # type: ignore[index]
