"""Draws puppets, props and rooms with Pillow, four times too large; shrunk, they have smooth edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lacbook.data.puppet_motion import JOINTS, Body

SIZE = 96  # pixels of a side of a frame
ZOOM = 4  # drawn this much larger
MARGIN = 4  # pixels of room around the frame that camera jitter may show
Colour = tuple[int, int, int]


def shade(colour: Iterable[float], factor: float) -> Colour:
    """Colour made darker (factor < 1) or lighter."""
    r, g, b = (int(min(255, max(0, channel * factor))) for channel in colour)
    return r, g, b


@dataclass(frozen=True)
class Camera:
    """Parallel projection from body frame to picture.

    Parameters
    ----------
    yaw, pitch : float
        Degrees: the puppet is turned to the right of the picture, the camera looks down.
    scale : float
        Pixels per body height.
    centre : tuple of float
        Pixel (x, y) of the point on the floor between the feet.
    jitter : ndarray [T, 2]
        Pixels by which each frame is shifted, multiples of 1/ZOOM.
    """

    yaw: float
    pitch: float
    scale: float
    centre: tuple[float, float]
    jitter: NDArray

    def project(self, points: NDArray) -> NDArray:
        """Pixel x, y (down) without jitter, and level nearness in body heights, of points [..., 3]."""
        yaw, pitch = np.radians(self.yaw), np.radians(self.pitch)
        x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
        right = x * np.cos(yaw) + z * np.sin(yaw)
        near = z * np.cos(yaw) - x * np.sin(yaw)
        down = near * np.sin(pitch) - y * np.cos(pitch)
        return np.stack([self.centre[0] + self.scale * right, self.centre[1] + self.scale * down, near], -1)


@dataclass(frozen=True)
class Look:
    """Colours of a puppet and cut of its clothes."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    shorts: bool
    long_hair: bool


@dataclass(frozen=True)
class Stand:
    """A small table: middle of its top in the body frame, half widths along x and z, one leg or four."""

    top: tuple[float, float, float]
    half: tuple[float, float]
    colour: Colour
    single_leg: bool


class Pencil:
    """Draws round shapes given in pixels of the final frame."""

    def __init__(self, image: Image.Image, shift: NDArray) -> None:
        self.draw = ImageDraw.Draw(image)
        self.shift = shift

    def _enlarged(self, point: NDArray) -> tuple[float, float]:
        x, y = (point[:2] + self.shift) * ZOOM - 0.5
        return float(x), float(y)

    def disc(self, centre: NDArray, radius: float, colour: Colour) -> None:
        """Filled circle."""
        x, y = self._enlarged(centre)
        r = radius * ZOOM
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def oval(self, centre: NDArray, width: float, height: float, colour: Colour) -> None:
        """Filled upright ellipse of the given radii."""
        x, y = self._enlarged(centre)
        self.draw.ellipse(
            (x - width * ZOOM, y - height * ZOOM, x + width * ZOOM, y + height * ZOOM), fill=colour
        )

    def polygon(self, points: Iterable[NDArray], colour: Colour) -> None:
        """Filled polygon."""
        self.draw.polygon([self._enlarged(point) for point in points], fill=colour)

    def capsule(self, a: NDArray, b: NDArray, ra: float, rb: float, colour: Colour) -> None:
        """Two discs and what lies between them."""
        self.disc(a, ra, colour)
        self.disc(b, rb, colour)
        along = b[:2] - a[:2]
        if (length := float(np.hypot(*along))) > 1e-6:
            normal = np.array([-along[1], along[0]]) / length
            self.polygon(
                [a[:2] + ra * normal, b[:2] + rb * normal, b[:2] - rb * normal, a[:2] - ra * normal], colour
            )

    def chain(self, points: list[NDArray], radii: list[float], colours: list[Colour], outline: float) -> None:
        """Capsules along points, with a dark rim around all; one radius a point, one colour a capsule."""
        pieces = list(zip(points, points[1:], radii, radii[1:], colours, strict=False))
        for a, b, ra, rb, colour in pieces:
            self.capsule(a, b, ra + outline, rb + outline, shade(colour, 0.55))
        for a, b, ra, rb, colour in pieces:
            self.capsule(a, b, ra, rb, colour)


@dataclass(frozen=True)
class Puppet:
    """One puppet in one frame: projected joints [17, 3] and direction of the face [3], body, look, scale."""

    joints: NDArray
    face: NDArray
    body: Body
    look: Look
    scale: float

    def __getitem__(self, name: str) -> NDArray:
        return self.joints[JOINTS.index(name)]

    def _light(self, *names: str) -> float:
        """Near limbs lighter, far limbs darker."""
        nearness = np.mean([self[name][2] for name in names]) - self["pelvis"][2]
        return float(1 + np.clip(1.1 * nearness, -0.22, 0.10))

    def arm(self, pencil: Pencil, side: str) -> None:
        """Sleeve, forearm, hand."""
        shoulder, elbow, wrist = (self[f"{side}_{k}"] for k in ("shoulder", "elbow", "wrist"))
        light, k = self._light(f"{side}_elbow", f"{side}_wrist"), self.scale * self.body.girth
        lower = self.look.shirt if self.look.long_sleeves else self.look.skin
        hand = wrist + 0.2 * (wrist - elbow)
        pencil.chain(
            [shoulder, elbow, wrist, hand],
            [0.040 * k, 0.033 * k, 0.027 * k, 0.030 * k],
            [shade(self.look.shirt, light), shade(lower, light), shade(self.look.skin, light)],
            0.012 * self.scale,
        )

    def hand(self, pencil: Pencil, side: str) -> None:
        """Only the hand, to be drawn over what it holds."""
        elbow, wrist = self[f"{side}_elbow"], self[f"{side}_wrist"]
        light = self._light(f"{side}_elbow", f"{side}_wrist")
        pencil.disc(
            wrist + 0.2 * (wrist - elbow), 0.03 * self.scale * self.body.girth, shade(self.look.skin, light)
        )

    def leg(self, pencil: Pencil, side: str) -> None:
        """Thigh, shin, shoe."""
        hip, knee, ankle, toe = (self[f"{side}_{k}"] for k in ("hip", "knee", "ankle", "toe"))
        light, k = self._light(f"{side}_knee", f"{side}_ankle"), self.scale * self.body.girth
        lower = self.look.skin if self.look.shorts else self.look.trousers
        rim = 0.012 * self.scale
        pencil.chain(
            [ankle, toe], [0.036 * self.scale, 0.026 * self.scale], [shade(self.look.shoes, light)], rim
        )
        pencil.chain(
            [hip, knee, ankle],
            [0.060 * k, 0.046 * k, 0.034 * k],
            [shade(self.look.trousers, light), shade(lower, light)],
            rim,
        )

    def torso(self, pencil: Pencil, rim: float = 0.012) -> None:
        """Shirt over hips, neck."""
        k = self.scale * self.body.girth
        shoulders, hips = [self["r_shoulder"], self["l_shoulder"]], [self["r_hip"], self["l_hip"]]
        pencil.chain([self["neck"], self["head"]], [0.032 * k] * 2, [shade(self.look.skin, 0.85)], 0.0)
        pencil.chain(hips, [0.062 * k] * 2, [self.look.trousers], rim * self.scale)
        waist = [hip + 0.12 * (self["neck"] - self["pelvis"]) for hip in hips]
        corners = [*shoulders, waist[1], waist[0]]
        radii = [0.045 * k, 0.045 * k, 0.06 * k, 0.06 * k]
        for extra, colour in ((rim * self.scale, shade(self.look.shirt, 0.55)), (0.0, self.look.shirt)):
            pencil.polygon(corners, colour)
            for i in range(4):
                pencil.capsule(corners[i - 1], corners[i], radii[i - 1] + extra, radii[i] + extra, colour)

    def head(self, pencil: Pencil) -> None:
        """Hair, face, eyes where they can be seen."""
        centre, r, face = self["head"], self.body.head * self.scale, self.face
        pencil.disc(centre, r + 0.012 * self.scale, shade(self.look.hair, 0.6))
        pencil.disc(centre, r, self.look.hair)
        if self.look.long_hair:
            back = centre[:2] - 0.35 * r * face[:2] + np.array([0.0, 0.75 * r])
            pencil.chain([centre, back], [0.9 * r, 0.72 * r], [self.look.hair], 0.0)
        if face[2] > -0.6:
            middle = centre[:2] + r * np.array([0.42 * face[0], 0.22 + 0.5 * face[1]])
            pencil.oval(middle, r * (0.62 + 0.14 * max(face[2], 0.0)), 0.74 * r, self.look.skin)
            aside = np.array([face[2], -face[0]])  # direction from eye to eye: picture x, nearness
            for s in (-0.34, 0.34):
                if face[2] + s * aside[1] > 0.05:
                    eye = centre[:2] + r * np.array([0.75 * face[0] + s * aside[0], 0.12 + 0.75 * face[1]])
                    pencil.disc(eye, 0.14 * r, (35, 28, 28))


def draw_stand(pencil: Pencil, camera: Camera, stand: Stand) -> None:
    """A small table with one leg or four."""
    (x, y, z), (hx, hz) = stand.top, stand.half
    corners = np.array([(x - hx, y, z - hz), (x + hx, y, z - hz), (x + hx, y, z + hz), (x - hx, y, z + hz)])
    feet = np.array([(x, y, z)]) if stand.single_leg else corners * 0.86 + np.array([x, y, z]) * 0.14
    radius = 0.02 * camera.scale
    for foot in feet:
        a, b = camera.project(foot), camera.project(foot * np.array([1, 0, 1]))
        pencil.capsule(a, b, radius, radius, shade(stand.colour, 0.62))
        if stand.single_leg:
            pencil.oval(b, 0.07 * camera.scale, 0.022 * camera.scale, shade(stand.colour, 0.62))
    top = camera.project(corners)
    edge = np.array([0.0, 0.035 * camera.scale, 0.0])
    for a, b in zip(top, np.roll(top, -1, 0), strict=True):
        pencil.polygon([a, b, b + edge, a + edge], shade(stand.colour, 0.75))
    pencil.polygon(top, stand.colour)


def draw_bottle(
    pencil: Pencil, camera: Camera, hand: NDArray, tilt: float, level: float, colours: list[Colour]
) -> None:
    """Bottle held at hand [3], tilted by degrees to the puppet's left; its lower part shows the liquid."""
    axis = np.array([np.sin(np.radians(tilt)), np.cos(np.radians(tilt)), 0.0])
    bottom, shoulder, mouth, surface = (
        camera.project(hand + k * axis) for k in (-0.085, 0.055, 0.125, -0.085 + 0.12 * level)
    )
    glass, liquid = colours
    k = camera.scale
    pencil.chain([bottom, shoulder, mouth], [0.036 * k, 0.034 * k, 0.015 * k], [glass, glass], 0.012 * k)
    pencil.capsule(bottom, surface, 0.028 * k, 0.028 * k, liquid)


def bottle_mouth(hand: NDArray, tilt: float) -> NDArray:
    """Where the stream leaves the bottle [3]."""
    angle = np.radians(tilt)
    return hand + 0.125 * np.array([np.sin(angle), np.cos(angle), 0.0])


CUP_HEIGHT, CUP_RADIUS = 0.11, 0.052


def draw_cup(pencil: Pencil, camera: Camera, foot: NDArray, level: float, liquid: Colour) -> None:
    """Glass whose middle of the base stands at foot [3], filled to level in [0, 1]."""
    k, r = camera.scale, CUP_RADIUS
    base, rim = camera.project(foot), camera.project(foot + np.array([0.0, CUP_HEIGHT, 0.0]))
    aside = np.array([k, 0.0])
    wall = 0.014 * k

    def glass(radius: float, height: float, colour: Colour) -> None:
        top = base[:2] + height * (rim[:2] - base[:2])
        low, high = 0.8 * (radius * aside), (0.8 + 0.2 * height) * (radius * aside)
        pencil.polygon([base[:2] - low, base[:2] + low, top + high, top - high], colour)

    glass(r + wall / k, 1.03, (70, 80, 92))
    glass(r, 1.03, (226, 234, 240))
    if level > 0:
        glass(r, float(level), liquid)


def draw_stream(
    pencil: Pencil, camera: Camera, mouth: NDArray, cup: NDArray, level: float, liquid: Colour
) -> None:
    """Liquid falling from the mouth of the bottle to the surface in the cup."""
    surface = cup + np.array([0.0, max(level, 0.05) * CUP_HEIGHT, 0.0])
    radius = 0.017 * camera.scale
    pencil.chain([camera.project(mouth), camera.project(surface)], [radius] * 2, [liquid], 0.0)


def draw_ball(pencil: Pencil, camera: Camera, centre: NDArray, colour: Colour) -> None:
    """Ball with a highlight."""
    at, r = camera.project(centre), 0.052 * camera.scale
    pencil.disc(at, r + 0.012 * camera.scale, shade(colour, 0.5))
    pencil.disc(at, r, colour)
    pencil.disc(at[:2] + np.array([-0.3, -0.35]) * r, 0.3 * r, shade(colour, 1.5))


def draw_room(rng: np.random.Generator, wall: NDArray, floor: NDArray, horizon: float) -> Image.Image:
    """Empty room, larger than a frame by MARGIN on each side: gradients and a few soft shapes."""
    side = SIZE + 2 * MARGIN
    y, x = (np.mgrid[:side, :side] / side)[..., None]
    slope = rng.uniform(-0.22, 0.22, 2)
    room = wall * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))
    image = Image.fromarray(np.clip(room, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 4)):
        centre, half = rng.uniform((0, 0), (side, horizon)), rng.uniform(5, 20, 2)
        colour = shade(wall * rng.uniform(0.85, 1.15, 3), rng.uniform(0.85, 1.15))
        box = (*(centre - half), *(centre + half))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(1.5))
    draw = ImageDraw.Draw(image)
    top = horizon + MARGIN
    for row in range(int(top), side):
        draw.line((0, row, side, row), fill=shade(floor, 0.9 + 0.25 * (row - top) / (side - top)))
    draw.line((0, int(top) - 1, side, int(top) - 1), fill=shade(wall, 0.8))
    return image.resize((side * ZOOM, side * ZOOM), Image.Resampling.BICUBIC)


def crop_room(room: Image.Image, jitter: NDArray) -> Image.Image:
    """The part of the room that a camera shifted by jitter [2] pixels sees, still enlarged."""
    left, top = (round(float(MARGIN - shift) * ZOOM) for shift in jitter)
    return room.crop((left, top, left + SIZE * ZOOM, top + SIZE * ZOOM))
