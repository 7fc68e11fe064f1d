"""Other people's players and servers, from Debian."""

import pytest
from lab.packages import ensure
from servers import server, server_settings
from web_folder import web

__all__ = ["packages", "server", "server_settings", "web"]

# A command, or a file, by which one sees that the package is there.
_PACKAGES = {
    "ffmpeg": "ffmpeg",
    "chromium": "chromium",
    "/usr/lib/python3/dist-packages/gi": "python3-gi",
    "/usr/lib/x86_64-linux-gnu/girepository-1.0/GstRtspServer-1.0.typelib": "gir1.2-gst-rtsp-server-1.0",
    "/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstrtp.so": "gstreamer1.0-plugins-good",
    "/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstvideoparsersbad.so": "gstreamer1.0-plugins-bad",
    "/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstx264.so": "gstreamer1.0-plugins-ugly",
}


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    """Install what is missing, as root, or say what to install."""
    ensure(_PACKAGES)
