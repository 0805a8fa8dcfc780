"""A sink of your own: an alarm when vehicles fill too much of the image: ``python own_sink.py VIDEO [FRACTION]``."""

import sys

from drivenet import Pipeline, Sink, open_engine, open_source


class Alarm(Sink):
    """Prints a line when the vehicle fraction crosses the limit, upwards or downwards."""

    name, needs_view = "alarm", False

    def __init__(self, limit):
        self.limit, self.on = limit, False

    def publish(self, result):
        fraction = result.scene.groups.get("vehicle", 0.0)
        if (fraction > self.limit) != self.on:
            self.on = not self.on
            print(f"frame {result.frame.index}: vehicles fill {fraction:.1%}, alarm {'on' if self.on else 'off'}")


if __name__ == "__main__":
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else 0.1
    totals = Pipeline(open_source(sys.argv[1]), open_engine(), [Alarm(limit)], policy="every").run()
    print(f"{totals.published} frames")
