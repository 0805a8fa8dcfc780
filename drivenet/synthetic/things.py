"""How each thing of the synthetic drive is drawn, picture and ids together."""

from __future__ import annotations

import math

from drivenet.synthetic.camera import NEAR, Camera
from drivenet.synthetic.canvas import (
    BICYCLE,
    BUILDING,
    BUS,
    CAR,
    FENCE,
    MOTORCYCLE,
    PERSON,
    POLE,
    RIDER,
    TRAFFIC_LIGHT,
    TRAFFIC_SIGN,
    TRAIN,
    TRUCK,
    VEGETATION,
    WALL,
    Bgr,
    Canvas,
)
from drivenet.synthetic.world import Thing

#: Thin things are not drawn beyond this many metres: labels of a pixel's width teach and measure nothing.
THIN_SIGHT = 26.0


def draw_thing(canvas: Canvas, camera: Camera, thing: Thing) -> None:
    """Draw one thing over what is already there."""
    canvas.begin(thing)
    _DRAW[thing.kind](canvas, camera, thing)


def _shade(colour: Bgr, factor: float) -> Bgr:
    b, g, r = (min(255.0, c * factor) for c in colour)
    return b, g, r


def _wall(canvas: Canvas, camera: Camera, t: Thing, x: float, colour: Bgr, cls: int) -> None:
    """An upright plane along the road."""
    z0, z1 = max(t.z, NEAR), max(t.z + t.size[2], NEAR + 0.1)
    h = t.size[1]
    corners = [camera.pixel(x, 0, z0), camera.pixel(x, h, z0), camera.pixel(x, h, z1), camera.pixel(x, 0, z1)]
    canvas.polygon(corners, colour, cls, (z0 + z1) / 2, (z0, z0, z1, z1))


def _building(canvas: Canvas, camera: Camera, t: Thing) -> None:
    if t.z > NEAR:  # the end wall, seen from the street
        low, high = camera.pixel(t.x, 0, t.z), camera.pixel(t.x + t.side * t.size[0], t.size[1], t.z)
        canvas.box(low, high, _shade(t.colour, 0.8), BUILDING, t.z)
    _wall(canvas, camera, t, t.x, t.colour, BUILDING)
    glass: Bgr = (90, 70, 55) if t.variant < 0.7 else (150, 170, 190)
    storeys = max(1, int(t.size[1] // 3))
    for storey in range(storeys):
        for part in range(3):
            z0 = t.z + 1 + part * 2.4
            if z0 < NEAR + 0.3:
                continue
            y = 1.0 + storey * 3.0
            spots = ((y, z0), (y + 1.4, z0), (y + 1.4, z0 + 1.3), (y, z0 + 1.3))
            canvas.polygon([camera.pixel(t.x, v, z) for v, z in spots], glass, None, z0)


def _fence(canvas: Canvas, camera: Camera, t: Thing) -> None:
    solid = t.variant > 0.75
    _wall(canvas, camera, t, t.x, t.colour, WALL if solid else FENCE)
    if solid:
        return
    for part in range(8):
        z = t.z + part
        if z > NEAR:
            top, bottom = camera.pixel(t.x, t.size[1], z), camera.pixel(t.x, 0, z)
            canvas.box(
                top, (bottom[0] + max(0, int(camera.pixels(0.06, z))), bottom[1]), _shade(t.colour, 0.6), None, z
            )


def _tree(canvas: Canvas, camera: Camera, t: Thing) -> None:
    if t.z < 2.5:
        return
    width, height, _ = t.size
    trunk: Bgr = (40, 55, 70)
    half = max(0.5, camera.pixels(0.15, t.z))
    foot, fork = camera.pixel(t.x, 0, t.z), camera.pixel(t.x, height * 0.6, t.z)
    canvas.box((round(foot[0] - half), foot[1]), (round(fork[0] + half), fork[1]), trunk, VEGETATION, t.z)
    r = camera.pixels(width / 2, t.z)
    for i in range(7):
        angle = t.variant * 6.3 + i * 2.4
        dx, dy = 0.33 * width * math.cos(angle) * (i > 0), 0.28 * width * math.sin(angle) * (i > 0)
        centre = camera.pixel(t.x + dx, max(1.2, height * 0.75 + dy), t.z)
        size = r * (1.0 if i == 0 else 0.62)
        canvas.disc(centre, (size, size * 0.95), _shade(t.colour, 0.75 + 0.09 * i), VEGETATION, t.z)


def _post(canvas: Canvas, camera: Camera, t: Thing) -> bool:
    """The pole of a sign or lamp; False if it is out of sight."""
    if not 3.0 < t.z < THIN_SIGHT:
        return False
    half = max(1.0, camera.pixels(t.size[0] / 2, t.z))
    foot, top = camera.pixel(t.x, 0, t.z), camera.pixel(t.x, t.size[1], t.z)
    canvas.box((round(foot[0] - half), foot[1]), (round(top[0] + half), top[1]), t.colour, POLE, t.z)
    for left, right, shade in ((-1.0, -0.4, 0.6), (0.0, 0.6, 1.35)):  # round, lit from one side
        low, high = (round(foot[0] + left * half), foot[1]), (round(top[0] + right * half), top[1])
        canvas.box(low, high, _shade(t.colour, shade), None, t.z)
    return True


def _lamp(canvas: Canvas, camera: Camera, t: Thing) -> None:
    if _post(canvas, camera, t):
        low = camera.pixel(t.x, t.size[1], t.z)
        high = camera.pixel(t.x - t.side * 1.4, t.size[1] + 0.3, t.z)
        canvas.box(low, high, t.colour, POLE, t.z)


def _sign(canvas: Canvas, camera: Camera, t: Thing) -> None:
    if not _post(canvas, camera, t):
        return
    u, v = camera.pixel(t.x, min(t.size[1], 3.4), t.z)
    r = camera.pixels(0.6, t.z)
    red: Bgr = (40, 35, 190)
    white: Bgr = (225, 225, 225)
    if t.variant < 0.3:
        canvas.disc((u, v), (r, r), red, TRAFFIC_SIGN, t.z)
        canvas.disc((u, v), (r * 0.68, r * 0.68), white, None, t.z)
    elif t.variant < 0.55:
        canvas.polygon(
            [(round(u - r), round(v + r)), (u, round(v - r)), (round(u + r), round(v + r))], red, TRAFFIC_SIGN, t.z
        )
        s = r * 0.5
        canvas.polygon(
            [(round(u - s), round(v + s)), (u, round(v - s)), (round(u + s), round(v + s))], white, None, t.z
        )
    elif t.variant < 0.75:  # traffic light
        canvas.box((round(u - r * 0.55), round(v - r * 1.3)), (round(u + r * 0.55), round(v + r * 1.3)), (30, 30, 30),
                   TRAFFIC_LIGHT, t.z)  # fmt: skip
        for i, lamp in enumerate(((40, 40, 230), (40, 180, 230), (60, 200, 60))):
            canvas.disc((u, round(v + (i - 1) * r * 0.8)), (r * 0.3, r * 0.3), lamp, None, t.z)
    else:
        board: Bgr = (150, 80, 20) if t.variant < 0.88 else (60, 190, 230)
        canvas.box((round(u - r * 1.3), round(v - r)), (round(u + r * 1.3), round(v + r)), board, TRAFFIC_SIGN, t.z)
        for i in (-1, 0, 1):
            y = round(v + i * r * 0.5)
            canvas.box((round(u - r), y), (round(u + r * 0.8), y + max(0, int(r * 0.15))), white, None, t.z)


def _walker(canvas: Canvas, camera: Camera, t: Thing) -> None:
    if 2.5 < t.z < THIN_SIGHT:
        _person(canvas, camera, t, PERSON, legs=True)


def _person(canvas: Canvas, camera: Camera, t: Thing, cls: int, legs: bool) -> None:
    width, height, _ = t.size
    half = max(1.0, camera.pixels(width / 2, t.z))
    skin: Bgr = (90, 125, 180) if t.variant < 0.6 else (50, 70, 100)
    hip, neck = camera.pixel(t.x, height * 0.45, t.z), camera.pixel(t.x, height * 0.85, t.z)
    foot, head = camera.pixel(t.x, 0, t.z), camera.pixel(t.x, height * 0.92, t.z)
    if legs:
        dark: Bgr = (60, 45, 40) if t.variant < 0.5 else (95, 80, 70)
        canvas.box((round(hip[0] - half * 0.75), hip[1]), (round(foot[0] + half * 0.75), foot[1]), dark, cls, t.z)
    canvas.box((round(neck[0] - half), neck[1]), (round(hip[0] + half), hip[1]), t.colour, cls, t.z)
    canvas.disc(head, (half * 0.55, half * 0.65), skin, cls, t.z)


def _cyclist(canvas: Canvas, camera: Camera, t: Thing) -> None:
    """A rider on a bicycle or motorcycle, seen from behind or ahead."""
    if not 2.5 < t.z < THIN_SIGHT:
        return
    cls, width, seat = (MOTORCYCLE, 0.34, 0.75) if t.kind == "motorcyclist" else (BICYCLE, 0.26, 0.9)
    half, wheel = max(1.0, camera.pixels(width, t.z)), max(1.0, camera.pixels(width * 0.27, t.z))
    foot, hub = camera.pixel(t.x, 0, t.z), camera.pixel(t.x, seat, t.z)
    canvas.box((round(foot[0] - half), foot[1]), (round(hub[0] + half), hub[1]), (45, 45, 50), cls, t.z)
    canvas.box((round(foot[0] - wheel), foot[1]), (round(hub[0] + wheel), hub[1]), (15, 15, 15), None, t.z)
    pedal, trousers = camera.pixel(t.x, 0.3, t.z), _shade(t.colour, 0.5)
    for side in (-1, 1):
        inner, outer = round(foot[0] + side * wheel * 1.2), round(foot[0] + side * half)
        canvas.box((inner, pedal[1]), (outer, hub[1]), trousers, RIDER, t.z)
    _person(canvas, camera, t, RIDER, legs=False)


def _vehicle(canvas: Canvas, camera: Camera, t: Thing) -> None:
    z = t.z
    if z < 3.0:
        return
    width, height, length = t.size
    boxy, cls = height > 1.9, _VEHICLES[t.kind]
    left, right, belt = t.x - width / 2, t.x + width / 2, height * (0.95 if boxy else 0.62)
    shadow = [camera.pixel(left - 0.15, 0, z), camera.pixel(right + 0.15, 0, z),
              camera.pixel(right + 0.15, 0, z + length), camera.pixel(left - 0.15, 0, z + length)]  # fmt: skip
    canvas.polygon(shadow, (38, 38, 38), None, z)
    near_side = left if camera.shift(z) + t.x > 0 else right
    flank = [camera.pixel(near_side, 0.25, z), camera.pixel(near_side, belt, z),
             camera.pixel(near_side, belt, z + length), camera.pixel(near_side, 0.25, z + length)]  # fmt: skip
    canvas.polygon(flank, _shade(t.colour, 0.8), cls, z, (z, z, z + length, z + length))
    inset, back = (0.05, 0.2) if boxy else (0.28, 0.9)
    roof = [camera.pixel(left + 0.06, belt, z + 0.1), camera.pixel(left + inset, height, z + back),
            camera.pixel(right - inset, height, z + back), camera.pixel(right - 0.06, belt, z + 0.1)]  # fmt: skip
    canvas.polygon(roof, _shade(t.colour, 0.95), cls, z, (z + 0.1, z + back, z + back, z + 0.1))
    canvas.box(camera.pixel(left, 0.3, z), camera.pixel(right, belt, z), t.colour, cls, z)
    _face(canvas, camera, t, (left, right, belt, inset, back))


def _face(canvas: Canvas, camera: Camera, t: Thing, frame: tuple[float, float, float, float, float]) -> None:
    """Window, wheels, lights and number plate of a vehicle's near end."""
    left, right, belt, inset, back = frame
    z, height = t.z, t.size[1]
    glass: Bgr = (75, 62, 52)
    low, high = (belt, height - 0.08) if height < 1.9 else (height * 0.6, height * 0.85)
    depth = 0.15 if height < 1.9 else 0.0
    pane = [camera.pixel(left + 0.16, low, z + depth), camera.pixel(left + inset + 0.08, high, z + back * depth * 6),
            camera.pixel(right - inset - 0.08, high, z + back * depth * 6),
            camera.pixel(right - 0.16, low, z + depth)]  # fmt: skip
    canvas.polygon(pane, glass, None, z)
    lamp: Bgr = (30, 25, 190) if t.side > 0 else (225, 235, 240)
    for x in (left + 0.02, right - 0.34):
        canvas.box(camera.pixel(x, 0.62, z), camera.pixel(x + 0.32, 0.82, z), lamp, None, z)
        canvas.box(camera.pixel(x, 0.0, z), camera.pixel(x + 0.3, 0.32, z), (22, 22, 22), _VEHICLES[t.kind], z)
    middle = (left + right) / 2
    canvas.box(camera.pixel(middle - 0.26, 0.45, z), camera.pixel(middle + 0.26, 0.56, z), (200, 215, 220), None, z)


_VEHICLES = {"car": CAR, "van": CAR, "truck": TRUCK, "bus": BUS, "tram": TRAIN}
_DRAW = {
    "building": _building, "fence": _fence, "tree": _tree, "lamp": _lamp, "sign": _sign, "walker": _walker,
    "cyclist": _cyclist, "motorcyclist": _cyclist, **dict.fromkeys(_VEHICLES, _vehicle),
}  # fmt: skip
