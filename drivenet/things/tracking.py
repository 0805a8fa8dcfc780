"""Ids that last from frame to frame: masks are moved on, compared, and assigned one to one."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field

import lap
import numpy as np
import numpy.typing as npt

from drivenet.things import InstanceMap, Thing
from drivenet.things.measure import Floats, Ints, Measured, Pixels

#: Farther than the width of any map, in pixels.
_FARTHEST = 1 << 30


@dataclass(frozen=True)
class TrackingRule:
    """Thresholds of the tracker.

    Args:
        least: two masks that agree less than this are not one thing; agreement is their IoU, and up to ``near`` more
            the closer their centroids are.
        near: what closeness alone can give.
        reach: distance of the centroids, in widths of the thing (square root of its area), from which on it gives
            nothing.
        alike: two masks of which one has less than this fraction of the other's area are not one thing, unless it
            had lost that much before, going behind another one: what stands behind a vehicle that leaves the picture
            does not take its id.
        sightings: so many make a track of a thing.
        sure: or one, of a thing whose centre has at least this score.
        survival_s: a track that is not seen for longer is over.
        hold: fraction of the old velocity in the new one after each sighting.
        shrink, hidden_s: a thing that loses this fraction of its area goes behind another one: its shape and velocity
            are kept for so long.
        grow, inside, joined_s: a thing that gains this fraction of its area, and has this fraction of where a lost
            one would be, is both for a while: its shape and velocity are kept for so long, and each finds its own
            part when they are separated again.
        return_reach: a thing becomes a track again that was lost within this distance, in widths of the larger one,
            from where it would be now.
        trail_s: so long the places of a thing are remembered.
        followed: what a track that was seen in the frame before has more than one that was lost, or just began.
    """

    least: float = 0.2
    near: float = 0.35
    reach: float = 2.0
    alike: float = 0.25
    sightings: int = 2
    sure: float = 0.7
    survival_s: float = 1.0
    hold: float = 0.9
    shrink: float = 0.15
    hidden_s: float = 0.3
    grow: float = 0.2
    inside: float = 0.5
    joined_s: float = 0.6
    return_reach: float = 1.5
    trail_s: float = 1.0
    followed: float = 0.3


@dataclass(eq=False)
class _Track:
    """A thing that was seen; lengths in pixels of the instance map; ``shape_ns`` is when it had these pixels.

    ``area`` is that of its last sighting, of which less may be seen than of its pixels.
    """

    kind: int
    first_ns: int
    last_ns: int
    shape_ns: int
    x: Pixels
    y: Pixels
    centroid: Floats
    velocity: Floats
    area: int
    sightings: int = 1
    id: int = 0
    times: deque[int] = field(default_factory=deque)
    places: deque[tuple[float, float]] = field(default_factory=deque)
    classes: Counter[str] = field(default_factory=Counter)

    @property
    def cls(self) -> str:
        """The class that it had in most sightings; of several, the one that it had first."""
        return self.classes.most_common(1)[0][0]

    def went(self, at_ns: int, place: tuple[float, float], oldest_ns: int) -> None:
        """Remember where it is, in the source frame, and forget where it was long ago."""
        self.times.append(at_ns)
        self.places.append(place)
        while self.times[0] < oldest_ns:
            self.times.popleft()
            self.places.popleft()


class Tracker:
    """Follows the things of one source. Deterministic: the same maps at the same times give the same ids.

    Between two frames a thing moves on at its velocity. On synthetic sequences optical flow (DIS at a quarter of the
    size) saves no ID switches at 30 and 10 Hz and costs some at 5 Hz. Assignment is by Jonker and Volgenant (``lap``).
    Libraries that track: norfair wants NumPy 1 and SciPy, motpy follows boxes alone.
    """

    def __init__(self, rule: TrackingRule | None = None) -> None:
        self.rule = rule or TrackingRule()
        self._tracks: list[_Track] = []
        self._last_id = 0
        self._before_ns = self._seen_ns = 0
        self._size: tuple[int, ...] = ()

    def reset(self) -> None:
        """Forget all: another scene follows. Ids are not used again."""
        self._tracks = []

    def follow(
        self, things: list[Thing], instances: InstanceMap, measured: Measured, kinds: Ints, captured_ns: int,
        frame: tuple[int, int],
    ) -> list[Thing]:  # fmt: skip
        """Give the things of the next frame their ids, ages and velocities, and the class that they mostly had.

        Args:
            things: in the order of the numbers of ``instances``.
            instances: (H', W').
            measured: the same things in its pixels.
            kinds: (n,); things of different kinds are never one.
            captured_ns: of the frame.
            frame: (height, width) of the source frame.
        """
        if instances.shape != self._size:
            self.reset()
            self._size = instances.shape
        limit = captured_ns - round(self.rule.survival_s * 1e9)
        self._tracks = [t for t in self._tracks if t.last_ns >= limit and (t.id or t.last_ns == self._before_ns)]
        self._seen_ns, self._before_ns = self._before_ns, captured_ns
        owners, joined = self._assign(instances, measured, kinds, captured_ns)
        seen = [
            self._see(owner, things[i], measured, i, int(kinds[i]), captured_ns, i in joined)
            for i, owner in enumerate(owners)
        ]
        scale = np.array([frame[1] / instances.shape[1], frame[0] / instances.shape[0]])
        oldest = captured_ns - round(self.rule.trail_s * 1e9)
        for t, place in zip(seen, (measured.centroids * scale).tolist(), strict=True):
            t.went(captured_ns, (place[0], place[1]), oldest)
        velocities = (np.array([t.velocity for t in seen]).reshape(-1, 2) * scale).tolist()
        return [
            thing.followed(t.cls, t.id, (captured_ns - t.first_ns) / 1e9, (dx, dy), tuple(t.places)) if t.id else thing
            for thing, t, (dx, dy) in zip(things, seen, velocities, strict=True)
        ]

    def _assign(
        self, instances: InstanceMap, measured: Measured, kinds: Ints, captured_ns: int
    ) -> tuple[list[_Track | None], set[int]]:
        """The track of each thing, None for a new one, and which things are two for a while."""
        count = len(measured.areas)
        if not self._tracks or not count:
            return [None] * count, set()
        elapsed = np.array([(captured_ns - t.shape_ns) / 1e9 for t in self._tracks])
        moves = np.array([t.velocity for t in self._tracks]) * elapsed[:, None]
        common = self._common(instances, measured, moves)
        agreement = self._overlaps(common, measured) + self._closeness(measured, moves)
        followed = np.array([bool(t.id) and t.last_ns == self._seen_ns for t in self._tracks])
        agreement += self.rule.followed * (followed[:, None] & (agreement >= self.rule.least))
        agreement[
            (np.array([t.kind for t in self._tracks])[:, None] != kinds[None, :])
            | self._unlike(self._tracks, measured.areas)
        ] = 0
        _, _, track_of = lap.lapjv(2 - agreement, extend_cost=True, cost_limit=2 - self.rule.least)
        owners = [self._tracks[int(k)] if k >= 0 else None for k in track_of]
        return owners, self._joined(owners, common, measured, captured_ns)

    def _joined(self, owners: list[_Track | None], common: Ints, measured: Measured, captured_ns: int) -> set[int]:
        """Which things hold a second one of a moment ago beside that of their own track."""
        found, oldest = set(), captured_ns - round(self.rule.joined_s * 1e9)
        for track, pixels in zip(self._tracks, common, strict=True):
            i = int(pixels.argmax())
            owner = owners[i]
            lost = track.id and track.last_ns >= oldest and track not in owners
            if lost and owner and owner.kind == track.kind and pixels[i] >= self.rule.inside * len(track.x):
                found |= {i} if measured.areas[i] >= (1 + self.rule.grow) * len(owner.x) else set()
        return found

    def _unlike(self, tracks: list[_Track], areas: Ints) -> npt.NDArray[np.bool_]:
        """Whether areas differ too much from those of tracks, both whole and as last seen, (tracks, areas)."""
        own = np.array([(len(t.x), t.area) for t in tracks])[:, :, None]
        return np.asarray((np.minimum(own, areas) < self.rule.alike * np.maximum(own, areas)).all(1))

    def _overlaps(self, common: Ints, measured: Measured) -> Floats:
        """IoU of every moved track with every thing, (tracks, things)."""
        areas = np.array([len(t.x) for t in self._tracks])
        return np.asarray(common / (areas[:, None] + measured.areas[None, :] - common))

    def _common(self, instances: InstanceMap, measured: Measured, moves: Floats) -> Ints:
        """How many pixels of every moved track every thing has, (tracks, things)."""
        areas = np.array([len(t.x) for t in self._tracks])
        steps = np.clip(np.rint(moves), -_FARTHEST, _FARTHEST).astype(np.int64).astype(np.uint32)
        # unsigned: what leaves the map to the left or above is beyond its right and lower edge
        x = np.concatenate([t.x + dx for t, dx in zip(self._tracks, steps[:, 0], strict=True)])
        y = np.concatenate([t.y + dy for t, dy in zip(self._tracks, steps[:, 1], strict=True)])
        height, width = instances.shape
        inside = np.flatnonzero((x < width) & (y < height))
        of = np.repeat(np.arange(len(areas)), areas)[inside]
        count = len(measured.areas) + 1
        hits = of * count + instances.ravel()[y[inside] * np.uint32(width) + x[inside]]
        return np.bincount(hits, minlength=len(areas) * count).reshape(-1, count)[:, 1:]

    def _closeness(self, measured: Measured, moves: Floats) -> Floats:
        """0 .. ``near`` by the distance of centroids, (tracks, things)."""
        places = np.array([t.centroid for t in self._tracks]) + moves
        apart = places[:, None, :] - measured.centroids[None, :, :]
        distance = np.sqrt(apart[..., 0] ** 2 + apart[..., 1] ** 2)
        widths = np.sqrt(np.maximum(np.array([len(t.x) for t in self._tracks])[:, None], measured.areas[None, :]))
        return np.asarray(self.rule.near * np.maximum(0.0, 1 - distance / (self.rule.reach * widths)))

    def _see(
        self, track: _Track | None, thing: Thing, measured: Measured, i: int, kind: int, captured_ns: int, joined: bool
    ) -> _Track:
        """Bring a track up to date, or begin one."""
        part = slice(int(measured.starts[i]), int(measured.starts[i] + measured.areas[i]))
        x, y, centroid = measured.x[part], measured.y[part], measured.centroids[i]
        if track is None:
            track = _Track(kind, captured_ns, captured_ns, captured_ns, x, y, centroid, np.zeros(2), len(x))
            self._tracks.append(track)
        else:
            self._move(track, x, y, centroid, captured_ns, joined)
            track.sightings += 1
        track.classes[thing.cls] += 1
        if not track.id and (track.sightings >= self.rule.sightings or (thing.score or 0.0) >= self.rule.sure):
            self._confirm(track)
        return track

    def _move(self, track: _Track, x: Pixels, y: Pixels, centroid: Floats, captured_ns: int, joined: bool) -> None:
        """Take a track to where it is seen, unless it goes behind another thing or is joined with one."""
        track.last_ns, track.area = captured_ns, len(x)
        dt, shrunk = (captured_ns - track.shape_ns) / 1e9, len(x) < (1 - self.rule.shrink) * len(track.x)
        kept_s = max(self.rule.hidden_s * shrunk, self.rule.joined_s * joined)
        if track.sightings > 1 and dt < kept_s:
            return
        hold = self.rule.hold if track.sightings > 1 else 0.0
        if dt > 0:
            track.velocity = hold * track.velocity + (1 - hold) * (centroid - track.centroid) / dt
        track.x, track.y, track.centroid, track.shape_ns = x, y, centroid, captured_ns

    def _confirm(self, track: _Track) -> None:
        """Give a track an id: that of a lost one which would be here by now, else a new one."""
        lost = [t for t in self._tracks if t.id and t.last_ns < track.first_ns and t.kind == track.kind]
        distances = [self._apart(t, track) for t in lost]
        if lost and min(distances) <= self.rule.return_reach:
            old = lost[int(np.argmin(distances))]
            track.classes = old.classes + track.classes
            track.id, track.first_ns = old.id, old.first_ns
            self._tracks = [t for t in self._tracks if t is not old]
        else:
            self._last_id += 1
            track.id = self._last_id

    def _apart(self, lost: _Track, found: _Track) -> float:
        """Distance in widths between a found track and where a lost one would be; infinite if they are unlike."""
        if self._unlike([lost], np.array([len(found.x)])).all():
            return math.inf
        place = lost.centroid + lost.velocity * ((found.shape_ns - lost.shape_ns) / 1e9)
        return float(np.linalg.norm(place - found.centroid)) / math.sqrt(max(len(lost.x), len(found.x)))
