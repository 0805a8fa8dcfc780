"""Two cameras on one engine: ``python two_cameras.py CAMERA CAMERA``. Their frames take turns."""

import sys
import threading

from drivenet import Segmenter, open_source


def watch(address, segmenter):
    with open_source(address) as source:
        for frame in source:
            found = segmenter.segment(frame)
            print(f"{source.name} frame {frame.index}: vehicles {found.scene.groups.get('vehicle', 0.0):.1%}")


if __name__ == "__main__":
    with Segmenter() as segmenter:
        threads = [threading.Thread(target=watch, args=(address, segmenter)) for address in sys.argv[1:]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
