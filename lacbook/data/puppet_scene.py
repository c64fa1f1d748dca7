"""One puppet clip: who does what, when and seen from where (`plan_clip`), and its frames (`render_clip`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lacbook.data.puppet_drawing import (
    SIZE,
    ZOOM,
    Camera,
    Look,
    Pencil,
    Puppet,
    Stand,
    bottle_mouth,
    crop_room,
    draw_ball,
    draw_bottle,
    draw_cup,
    draw_room,
    draw_stand,
    draw_stream,
    shade,
)
from lacbook.data.puppet_motion import (
    ACTIONS,
    DISTRACTORS,
    JOINTS,
    STAND,
    Body,
    channels_at,
    mirrored,
    skeleton,
)

TRAIN_SUBJECTS = 20
SKINS = ((246, 205, 170), (226, 172, 130), (190, 132, 92), (142, 92, 62), (100, 66, 48))
HAIRS = ((40, 30, 26), (92, 58, 34), (150, 100, 50), (210, 172, 96), (120, 116, 112), (150, 60, 30))


@dataclass(frozen=True)
class ClipPlan:
    """Everything that decides what a clip of T frames shows."""

    video_id: str
    action: str
    subject: str
    split: str
    time: NDArray[np.float64]
    phase: NDArray[np.int64]
    channels: dict[str, NDArray]
    body: Body
    look: Look
    camera: Camera
    wall: NDArray
    floor: NDArray
    identity: tuple[int, ...]


def _rng(*identity: int) -> np.random.Generator:
    """Random numbers that depend on nothing but what they are for."""
    return np.random.default_rng(np.random.SeedSequence(identity))


def _slow_noise(rng: np.random.Generator, frames: int, period: tuple[float, float]) -> NDArray:
    """Smooth noise [T] within -1 and 1: three sines of random period (frames) and phase."""
    t = np.arange(frames)
    waves = [np.sin(2 * np.pi * (t / rng.uniform(*period) + rng.random())) for _ in range(3)]
    return np.asarray(np.mean(waves, 0))


def _action_time(rng: np.random.Generator, action: str, tempo: float) -> NDArray:
    """Canonical time inside the action, frame by frame: 0 to 1, tempo varying, paused half of the time."""
    plan = ACTIONS[action]
    frames = int(np.clip(round(plan.frames * tempo * rng.uniform(0.93, 1.08)), 20, 46))
    speed = np.exp(0.4 * _slow_noise(rng, frames - 1, (25, 80)))
    u = np.concatenate([[0.0], np.cumsum(speed) / speed.sum()])
    u[-1] = 1.0
    for _ in range(rng.integers(0, 2)):
        low, high = plan.still[rng.integers(len(plan.still))]
        at = int(np.searchsorted(u, rng.uniform(low, high)))
        u = np.insert(u, at, np.full(rng.integers(2, 6), u[at]))
    return u


def _idle_channels(rng: np.random.Generator, frames: int) -> dict[str, NDArray]:
    """Standing, and now and then a movement that is none of the actions."""
    channels = {name: np.full(frames, rest) for name, rest in STAND.items()}
    at = int(rng.integers(0, 8))
    while frames - at >= 14:
        length = int(rng.integers(14, min(frames - at, 34) + 1))
        movement = DISTRACTORS[rng.choice(list(DISTRACTORS))]
        movement = mirrored(movement) if rng.random() < 0.5 else movement
        if rng.random() < 0.6:
            values = channels_at(movement, np.linspace(0, 1, length), rng.uniform(0.8, 1.1))
            for name in STAND:
                channels[name][at : at + length] = values[name]
        at += length + int(rng.integers(0, 6))
    return channels


def _phases(action: str, u: NDArray) -> NDArray[np.int64]:
    """Phase of each moment of the action."""
    return np.searchsorted(list(ACTIONS[action].events.values()), u, side="right").astype(np.int64)


def _contrasting(
    rng: np.random.Generator, others: Sequence[Iterable[float]], low: float, high: float
) -> NDArray:
    """The one of a dozen random colours that differs most from all the others."""
    colours = rng.uniform(low, high, (12, 3))
    distance = [np.abs(colours - np.asarray(list(other))).sum(1) for other in others]
    return np.asarray(colours[np.argmax(np.min(distance, 0))])


def plan_clip(subject: int, action: str, take: int, seed: int = 0) -> ClipPlan:
    """Decide a clip: who moves how, when, seen from where. Independent of all other clips.

    Parameters
    ----------
    subject : int
        0 to 25; from 20 on they belong to the test split.
    action : str
        A key of `ACTIONS`.
    take : int
        0 or 1.
    seed : int, default 0
        Of the whole data set.

    Returns
    -------
    ClipPlan
    """
    # Shape, hair, tempo and style belong to the subject; clothes, room and camera change with the clip.
    of_subject = _rng(1, seed, subject)

    def grow(low: float, high: float) -> float:
        return float(of_subject.uniform(low, high))

    leg, arm = grow(0.94, 1.06), grow(0.96, 1.06)
    body = Body(
        upper_arm=0.165 * arm,
        forearm=0.15 * arm,
        thigh=0.24 * leg,
        shin=0.235 * leg,
        torso=0.29 * (2 - leg),
        shoulder=grow(0.10, 0.128),
        hip=grow(0.05, 0.064),
        stance=grow(0.06, 0.09),
        head=grow(0.066, 0.078),
        girth=grow(0.88, 1.2),
    )
    skin, hair = SKINS[2 * subject % len(SKINS)], HAIRS[subject % len(HAIRS)]
    long_hair, tempo, amplitude = bool(of_subject.random() < 0.4), grow(0.93, 1.08), grow(0.95, 1.03)

    identity = (seed, subject, list(ACTIONS).index(action), take)
    rng = _rng(2, *identity)
    u = _action_time(rng, action, tempo)
    # Mostly short or long, seldom between: the position in the clip should say little.
    head, tail = (int(n) for n in np.round(5 + 35 * rng.beta(0.5, 0.5, 2)))
    time = np.concatenate([np.full(head, np.nan), u, np.full(tail, np.nan)])
    after = len(ACTIONS[action].events) + 1
    phase = np.concatenate([np.zeros(head, int), _phases(action, u), np.full(tail, after)])
    parts = [
        _idle_channels(rng, head),
        channels_at(ACTIONS[action].movement, u, amplitude),
        _idle_channels(rng, tail),
    ]
    channels = {name: np.concatenate([part[name] for part in parts]) for name in STAND}
    frames = len(time)
    for name, size in (("lean", 1.5), ("side", 1.5), ("pelvis_x", 0.008), ("look", 4.0)):
        # less inside the action, where hands have to meet things
        channels[name] = channels[name] + size * np.where(np.isnan(time), 1, 0.4) * _slow_noise(
            rng, frames, (25, 70)
        )
    camera = Camera(
        yaw=ACTIONS[action].yaw + rng.uniform(-12, 12),
        pitch=rng.uniform(3, 14),
        scale=rng.uniform(66, 72),
        centre=(SIZE / 2 + rng.uniform(-5, 5), rng.uniform(88, 92)),
        jitter=np.stack([np.round(1.6 * _slow_noise(rng, frames, (30, 90)) * ZOOM) / ZOOM for _ in "xy"], -1),
    )
    walls = rng.uniform(95, 225, (4, 1)) * rng.uniform(0.8, 1.15, (4, 3))
    wall = walls[np.argmax(np.abs(walls - skin).sum(1))]  # bare arms stay visible
    floor = wall * rng.uniform(0.55, 0.8) * rng.uniform(0.9, 1.1, 3)
    shirt = _contrasting(rng, [wall, skin], 20, 240)
    trousers = _contrasting(rng, [wall, floor, shirt], 15, 190)
    look = Look(
        skin=skin,
        hair=hair,
        shirt=shade(shirt, 1),
        trousers=shade(trousers, 1),
        shoes=shade(_contrasting(rng, [floor], 20, 240), 1),
        long_sleeves=bool(rng.random() < 0.5),
        shorts=bool(rng.random() < 0.35),
        long_hair=long_hair,
    )
    name = f"s{subject + 1:02d}"
    return ClipPlan(
        f"{action}_{name}_{take + 1}",
        action,
        name,
        "train" if subject < TRAIN_SUBJECTS else "test",
        time,
        phase,
        channels,
        body,
        look,
        camera,
        wall,
        floor,
        identity,
    )


def joints_in_picture(plan: ClipPlan) -> NDArray:
    """Joints where they are drawn, pixels from the upper left corner, [T, 17, 2] in the order of `JOINTS`."""
    joints = plan.camera.project(skeleton(plan.channels, plan.body)[0])[..., :2]
    return np.asarray(joints + plan.camera.jitter[:, None])


def _grip(joints: NDArray, beyond: float) -> NDArray:
    """What the right hand grips [..., 3], beyond the wrist by a share of the forearm."""
    elbow, wrist = (joints[..., JOINTS.index(name), :] for name in ("r_elbow", "r_wrist"))
    return wrist + beyond * (wrist - elbow)


class _Scene:
    """What stands around the puppet and what it handles, placed so that the hands of this body reach it."""

    def __init__(self, plan: ClipPlan) -> None:
        self.plan, rng = plan, _rng(3, *plan.identity)
        self.joints, self.face = skeleton(plan.channels, plan.body)
        self.grip = _grip(self.joints, 0.5 if plan.action == "throw" else 0.2)
        self.room = draw_room(rng, plan.wall, plan.floor, plan.camera.centre[1] - rng.uniform(7, 20))
        self.colour = shade(_contrasting(rng, [plan.wall, plan.look.shirt, plan.look.trousers], 40, 255), 1)
        seen_against: list[Iterable[float]] = [
            plan.wall,
            plan.look.shirt,
            plan.look.trousers,
            self.colour,
            (226, 234, 240),
        ]
        self.liquid = shade(_contrasting(rng, seen_against, 10, 230), 1)
        self.levels = rng.uniform((0.0, 0.35, 0.6), (0.45, 0.5, 1.0))  # in the cup, poured, in the bottle
        wood = shade(_contrasting(rng, [plan.wall, plan.look.trousers], 50, 220), 1)
        self.decor = shade(_contrasting(rng, [plan.wall, self.colour], 40, 255), 1)
        self.flight = np.array(
            [0.0, rng.uniform(1.0, 2.5), rng.uniform(8.0, 10.0)]
        )  # body heights per unit of u
        self.stand: Stand | None = None
        if plan.action == "pour":
            self.rest, pouring = self.grip[self._at("bottle lifted")], self._at("stream begins", 0.06)
            mouth = bottle_mouth(self.grip[pouring], plan.channels["tilt"][pouring])
            top = self.rest[1] - 0.12
            self.cup = np.array([mouth[0] + 0.01, top, mouth[2]])
            middle = (self.rest + self.cup) / 2
            half = abs(self.rest[0] - self.cup[0]) / 2 + 0.09
            self.stand = Stand((middle[0], top, middle[2] + 0.01), (half, 0.10), wood, False)
        elif plan.action == "throw":
            self.rest = self.grip[self._at("ball lifted")]
            self.stand = Stand((self.rest[0], self.rest[1] - 0.05, self.rest[2]), (0.10, 0.07), wood, True)
        # Furniture behind the puppet: a table alone must not tell the action.
        self.furniture = []
        for side in (-1, 1):
            if rng.random() < 0.45:
                top = (side * rng.uniform(0.4, 0.7), rng.uniform(0.3, 0.55), -rng.uniform(0.3, 0.5))
                half, tint = (rng.uniform(0.09, 0.16), 0.08), shade(wood, rng.uniform(0.7, 1.2))
                self.furniture.append(
                    (Stand(top, half, tint, bool(rng.random() < 0.5)), int(rng.integers(0, 4)))
                )

    def _at(self, event: str, later: float = 0.0) -> int:
        """First frame of a named event, or of the moment u later."""
        return int(np.flatnonzero(self.plan.time >= ACTIONS[self.plan.action].events[event] + later)[0])

    def draw(self, t: int) -> NDArray[np.uint8]:
        """Frame t, uint8 [SIZE, SIZE, 3]."""
        plan, camera = self.plan, self.plan.camera
        image = crop_room(self.room, camera.jitter[t])
        pencil = Pencil(image, camera.jitter[t])
        for stand, thing in self.furniture:
            draw_stand(pencil, camera, stand)
            x, y, z = stand.top
            if thing == 1:
                draw_ball(pencil, camera, np.array([x, y + 0.05, z]), self.decor)
            elif thing == 2:
                glass = [self.decor, shade(self.decor, 0.6)]
                draw_bottle(pencil, camera, np.array([x, y + 0.12, z]), 0.0, 0.7, glass)
        joints = self.joints[t]
        face = camera.project(self.face[t]) - camera.project(np.zeros(3))
        face[:2] /= camera.scale
        puppet = Puppet(camera.project(joints), face, plan.body, plan.look, camera.scale)
        under = camera.project(joints[JOINTS.index("pelvis")] * np.array([1, 0, 1]))
        pencil.oval(under, 0.21 * camera.scale, 0.05 * camera.scale, shade(plan.floor, 0.72))

        def nearness(*names: str) -> float:
            return float(np.mean([puppet[name][2] for name in names]))

        middle = nearness("neck", "pelvis")
        parts: list[tuple[float, Callable[[], None]]] = [
            (middle, lambda: puppet.torso(pencil)),
            (nearness("head") + 0.005, lambda: puppet.head(pencil)),
        ]
        above: list[tuple[float, Callable[[], None]]] = []  # arms over the table are drawn after it
        for s in "rl":
            parts.append((nearness(f"{s}_hip", f"{s}_knee"), partial(puppet.leg, pencil, s)))
            high = self.stand is not None and joints[JOINTS.index(f"{s}_wrist"), 1] > self.stand.top[1]
            arm = (nearness(f"{s}_elbow", f"{s}_wrist") + 0.02, partial(self._arm, pencil, puppet, s, t))
            (above if high and arm[0] > middle else parts).append(arm)
        for _, draw in sorted(parts, key=lambda part: part[0]):
            draw()
        if self.stand is not None:
            draw_stand(pencil, camera, self.stand)
            self._on_stand(pencil, t)
        for _, draw in sorted(above, key=lambda part: part[0]):
            draw()
        if plan.action == "throw" and plan.time[t] >= (release := ACTIONS["throw"].events["release"]):
            since = plan.time[t] - release
            start = self.grip[self._at("release")]
            draw_ball(
                pencil, camera, start + since * self.flight - np.array([0, 8 * since**2, 0]), self.colour
            )
        return np.asarray(image.reduce(ZOOM))

    def _arm(self, pencil: Pencil, puppet: Puppet, side: str, t: int) -> None:
        """An arm and what its hand holds: a ball behind the fingers, a bottle in front of the arm."""
        held = side == "r" and self._held(t)
        if held and self.plan.action == "throw":
            draw_ball(pencil, self.plan.camera, self.grip[t], self.colour)
        puppet.arm(pencil, side)
        if held and self.plan.action == "pour":
            self._bottle(pencil, self.grip[t], t)
            puppet.hand(pencil, side)

    def _held(self, t: int) -> bool:
        """Whether the right hand holds the bottle or the ball."""
        taken, left = ACTIONS[self.plan.action].held
        return bool(taken <= self.plan.time[t] < left)

    def _poured(self, t: int) -> float:
        """Share of the pouring that is done."""
        events = ACTIONS["pour"].events
        begin, end = events["stream begins"], events["stream ends"]
        u = self.plan.time[t]
        if np.isnan(u):
            u = float(self.plan.phase[t] > 0)
        return float(np.clip((u - begin) / (end - begin), 0, 1))

    def _bottle(self, pencil: Pencil, hand: NDArray, t: int) -> None:
        """The bottle, in the hand or at rest."""
        tilt = self.plan.channels["tilt"][t] if self._held(t) else 0.0
        level = self.levels[2] - 0.4 * self._poured(t)
        draw_bottle(pencil, self.plan.camera, hand, tilt, level, [self.colour, self.liquid])

    def _on_stand(self, pencil: Pencil, t: int) -> None:
        """Bottle and glass, or balls; two balls always remain, so that they do not tell before from after."""
        camera = self.plan.camera
        if self.plan.action == "throw":
            for aside in (-0.055, 0.05):
                draw_ball(pencil, camera, self.rest + np.array([aside, 0.0, 0.0]), self.colour)
            return
        level = float(self.levels[0] + self.levels[1] * self._poured(t))
        draw_cup(pencil, camera, self.cup, level, self.liquid)
        if 0 < self._poured(t) < 1:
            mouth = bottle_mouth(self.grip[t], self.plan.channels["tilt"][t])
            draw_stream(pencil, camera, mouth, self.cup, level, self.liquid)
        if not self._held(t):
            self._bottle(pencil, self.rest, t)


def render_clip(plan: ClipPlan) -> NDArray[np.uint8]:
    """Frames of a clip before compression.

    Parameters
    ----------
    plan : ClipPlan
        As `plan_clip` gives it.

    Returns
    -------
    ndarray of uint8 [T, 96, 96, 3]
    """
    scene = _Scene(plan)
    return np.stack([scene.draw(t) for t in range(len(plan.time))])
