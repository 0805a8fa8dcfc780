"""A folder of images on a Ray cluster, one engine per actor: ``python ray_batch.py IMAGES MASKS [WORKERS]``.

Needs ``pip install ray``; ``RAY_ADDRESS`` names a running cluster, without it a local one is started.
"""

import sys
from pathlib import Path

import cv2
import ray

from drivenet import Segmenter


@ray.remote(num_cpus=1)
class Worker:
    """Holds one engine for as long as the job lasts."""

    def __init__(self):
        self.segmenter = Segmenter(threads=1)

    def mask(self, file, out):
        cv2.imwrite(out, self.segmenter.segment(file).ids)
        return out


def main(images, masks, workers):
    masks.mkdir(parents=True, exist_ok=True)
    pool = ray.util.ActorPool([Worker.remote() for _ in range(workers)])
    jobs = [(str(file.resolve()), str((masks / f"{file.stem}.png").resolve())) for file in sorted(images.iterdir())]
    done = list(pool.map_unordered(lambda worker, job: worker.mask.remote(*job), jobs))
    print(f"{len(done)} masks in {masks}")


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 2)
