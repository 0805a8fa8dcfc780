"""An RTSP server on the loopback, for the system's Python: rtsp_server.py play[?SETTINGS]|FILE PORT [USER PASSWORD].

Plays a test picture, by default ``play?width=160&height=120&fps=25&codec=h264&at=/live``, or takes a stream and writes
its H.264 into a file, at /live. Prints its port.
"""

import sys
from urllib.parse import parse_qsl

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

SETTINGS = {"width": "160", "height": "120", "fps": "25", "codec": "h264", "at": "/live"}
PICTURE = "videotestsrc is-live=true ! video/x-raw,format=I420,width={width},height={height},framerate={fps}/1"
CODECS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! h265parse ! rtph265pay name=pay0",
    "mjpeg": "jpegenc ! rtpjpegpay name=pay0",
}
RECORD = (
    "( rtph264depay name=depay0 ! video/x-h264,stream-format=byte-stream,alignment=au ! "
    'filesink location="{}" append=true buffer-mode=unbuffered sync=false )'
)


def require_login(server, factory, user, password):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string("user, media.factory.access=true, media.factory.construct=true")[0]
    )


def factory_for(task, settings):
    coder = CODECS[settings["codec"]]
    needed = [part.split()[0] for part in coder.split(" ! ")] if task == "play" else ["rtph264depay"]
    missing = [name for name in needed if Gst.ElementFactory.find(name) is None]
    if missing:
        sys.exit(f"GStreamer lacks {', '.join(missing)}")
    factory = GstRtspServer.RTSPMediaFactory()
    if task == "play":
        factory.set_shared(True)
        factory.set_launch(f"( {PICTURE.format(**settings)} ! {coder} )")
    else:
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.set_launch(RECORD.format(task))
    return factory


def main(task, port, *login):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    task, _, text = task.partition("?")
    settings = {**SETTINGS, **dict(parse_qsl(text))}
    factory = factory_for(task, settings)
    if login:
        require_login(server, factory, *login)
    server.get_mount_points().add_factory(settings["at"], factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
