"""A real RTSP server, GStreamer's, for the tests: `rtsp_server.py PORT PATH=play|record:PIPELINE...`.

It runs on the system's Python, which has GStreamer's bindings, and writes its port once it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def serve(port: str, mounts: list[str]) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for mount in mounts:
        path, what = mount.split("=", 1)
        mode, pipeline = what.split(":", 1)
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(mode == "play")
        if mode == "record":
            factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


serve(sys.argv[1], sys.argv[2:])
