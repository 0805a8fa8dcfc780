"""What the camera sees, once a second: ``python webcam.py [CAMERA]``. Ctrl-C ends it."""

import sys

from drivenet import Pipeline, Sink, open_engine, open_source


class Once(Sink):
    """Prints the fraction of each group, at most once a second of capture time."""

    name, needs_view = "once", False
    next_ns = 0

    def publish(self, result):
        if result.frame.captured_ns >= self.next_ns:
            self.next_ns = result.frame.captured_ns + 1_000_000_000
            print(", ".join(f"{group} {fraction:.0%}" for group, fraction in result.scene.groups.items()), flush=True)


if __name__ == "__main__":
    source = open_source(sys.argv[1] if len(sys.argv) > 1 else 0)
    print(Pipeline(source, open_engine(), [Once()], policy="latest").run().captured, "frames captured")
