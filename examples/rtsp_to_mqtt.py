"""A network camera's scenes to an MQTT broker: ``python rtsp_to_mqtt.py rtsp://CAMERA/PATH mqtt://BROKER/TOPIC``.

Needs the extra [mqtt]. The newest frame wins, a lost camera is opened again, and the broker hears of both.
"""

import sys

from drivenet import Pipeline, open_engine, open_sink, open_source

if __name__ == "__main__":
    camera, broker = sys.argv[1:]
    sink = open_sink(broker, fps=0)
    totals = Pipeline(open_source(camera), open_engine(), [sink], policy="latest").run()
    print(f"{totals.published} scenes published, dropped: {totals.dropped}")
