"""How puppets move: actions and distractors as keyframed channels, and the 3-D skeleton that follows them.

Body frame, in units of the body height: x to the puppet's left, y up, z forward, origin on the floor between
the feet. A movement is a dictionary ``{u: {channel: value}}``. Each channel passes through the values given
for it (monotone cubic, so it never overshoots) and starts and ends in the standing pose.

Angles are in degrees. A hand is placed relative to its shoulder by ``azimuth`` (0 to the own side, 90
forward), ``elevation`` (-90 down, 90 up, beyond 90 over the head to the other side) and ``reach`` (1 =
stretched arm); feet and pelvis by their offset from standing, ``foot_x`` being outward. Elbows and knees
follow from the lengths of the bones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Movement = dict[float, dict[str, float]]

STAND: dict[str, float] = {
    "pelvis_x": 0.0,
    "pelvis_y": 0.0,
    "pelvis_z": 0.0,
    "lean": 2.0,  # torso forward
    "side": 0.0,  # torso towards the left
    "twist": 0.0,  # shoulders turned to the left
    "nod": 4.0,
    "look": 0.0,  # head turned to the left
    "tilt": 0.0,  # a held bottle, from upright towards the other side
    **{f"{s}_azimuth": 25.0 for s in "rl"},
    **{f"{s}_elevation": -80.0 for s in "rl"},
    **{f"{s}_reach": 0.96 for s in "rl"},
    **{f"{s}_foot_{axis}": 0.0 for s in "rl" for axis in "xyz"},
}
JOINTS = (
    *("head", "neck", "pelvis"),
    *("r_shoulder", "r_elbow", "r_wrist", "l_shoulder", "l_elbow", "l_wrist"),
    *("r_hip", "r_knee", "r_ankle", "r_toe", "l_hip", "l_knee", "l_ankle", "l_toe"),
)
OTHER_SIDE = {"r_": "l_", "l_": "r_"}


def _both(azimuth: float, elevation: float, reach: float) -> dict[str, float]:
    """Both hands alike."""
    return _hand(azimuth, elevation, reach, "r") | _hand(azimuth, elevation, reach, "l")


def _hand(azimuth: float, elevation: float, reach: float, side: str = "r") -> dict[str, float]:
    """One hand."""
    return {f"{side}_azimuth": azimuth, f"{side}_elevation": elevation, f"{side}_reach": reach}


def _feet(x: float, y: float) -> dict[str, float]:
    """Both feet outward by x and up by y."""
    return {"r_foot_x": x, "l_foot_x": x, "r_foot_y": y, "l_foot_y": y}


@dataclass(frozen=True)
class Action:
    """One action: its movement over canonical time u in [0, 1] and the instants that bound its phases.

    Parameters
    ----------
    movement : dict
        Keyframes, see the module's docstring.
    events : dict of str to float
        Name and u of the first instant of phases 1, 2, ...; the last phase begins after u = 1.
    frames : int
        Typical duration.
    still : tuple of (float, float)
        Stretches of u in which the puppet may pause (nobody pauses in mid-air).
    yaw : float
        Degrees by which the puppet is typically turned to the right of the picture.
    held : tuple of float
        Stretch of u in which the right hand holds the bottle or the ball; empty by default.
    """

    movement: Movement
    events: dict[str, float]
    frames: int
    still: tuple[tuple[float, float], ...]
    yaw: float
    held: tuple[float, float] = (1.0, 0.0)


ACTIONS: dict[str, Action] = {
    "pour": Action(
        movement={
            0.08: _hand(35, -48, 0.70) | {"lean": 12},
            0.17: _hand(42, -30, 0.97) | {"lean": 26, "nod": 22, "look": -22},
            0.21: _hand(42, -29, 0.97) | _hand(25, -80, 0.96, "l") | {"lean": 26, "tilt": 0},
            0.32: _hand(60, 38, 0.92)
            | _hand(20, -35, 0.75, "l")
            | {"tilt": 8, "lean": -6, "nod": 0, "look": 0},
            0.40: _hand(68, 28, 0.92) | {"tilt": 80, "lean": 6, "nod": 20, "side": 4},
            0.46: _hand(70, 2, 0.92) | {"tilt": 108, "lean": 16},
            0.68: _hand(70, 52, 0.92) | {"tilt": 120, "lean": -6, "look": 4, "side": 8, "nod": 24},
            0.70: _hand(68, 52, 0.92) | {"tilt": 100},
            0.76: _hand(60, 38, 0.92)
            | _hand(20, -35, 0.75, "l")
            | {"tilt": 20, "lean": -6, "nod": 0, "side": 2},
            0.86: _hand(42, -29, 0.97)
            | _hand(25, -80, 0.96, "l")
            | {"tilt": 0, "lean": 26, "nod": 22, "look": -22},
            0.89: _hand(42, -30, 0.97) | {"lean": 26},
            0.95: _hand(35, -50, 0.72) | {"lean": 10},
        },
        events={"reach": 0.0, "bottle lifted": 0.2, "stream begins": 0.44, "stream ends": 0.69},
        frames=32,
        still=((0.2, 0.4), (0.5, 0.62), (0.72, 0.88)),
        yaw=8.0,
        held=(0.2, 0.87),
    ),
    "squat": Action(
        movement={
            # The arms go on rising past the lowest point: at no moment does the whole body turn round.
            0.25: _both(88, 0, 0.97) | {"lean": 12, "pelvis_y": -0.07, "pelvis_z": -0.035},
            0.50: {"lean": 38, "pelvis_y": -0.285, "pelvis_z": -0.11, "nod": -6},
            0.61: _both(80, 62, 0.97),
            0.75: _both(88, 0, 0.97) | {"lean": 20, "pelvis_y": -0.13, "pelvis_z": -0.05},
        },
        events={"descent begins": 0.0, "arms level": 0.25, "lowest point": 0.5, "arms fall": 0.75},
        frames=28,
        still=((0.25, 0.75),),
        yaw=32.0,
    ),
    "throw": Action(
        movement={
            0.15: _hand(52, -32, 0.96) | {"lean": 12, "nod": 22, "look": -18},
            0.19: _hand(52, -30, 0.95) | {"lean": 11},
            0.28: _hand(15, -10, 0.75) | {"twist": -20, "l_foot_y": 0.0, "nod": 4, "look": 10},
            0.44: _hand(-35, 30, 0.72)
            | _hand(80, 8, 0.95, "l")
            | {"twist": -52, "lean": -10, "l_foot_y": 0.09, "l_foot_z": 0.04, "pelvis_z": -0.05, "look": 28},
            0.51: {"l_foot_y": 0.0, "l_foot_z": 0.20, "pelvis_z": 0.05, "pelvis_y": -0.03},
            0.55: _hand(55, 48, 0.98) | _hand(55, -35, 0.7, "l") | {"twist": 12, "lean": 12, "look": 0},
            0.68: _hand(120, -40, 0.95)
            | _hand(-30, -50, 0.85, "l")
            | {
                "twist": 40,
                "lean": 34,
                "pelvis_z": 0.09,
                "pelvis_y": -0.05,
                "l_foot_z": 0.20,
                "look": -18,
                "nod": 0,
            },
            0.80: {"l_foot_y": 0.0, "pelvis_z": 0.05},
            0.88: {"l_foot_y": 0.05, "l_foot_z": 0.08},
        },
        events={"reach": 0.0, "ball lifted": 0.18, "arm furthest back": 0.44, "release": 0.55},
        frames=30,
        still=((0.2, 0.44), (0.78, 0.84)),
        yaw=65.0,
        held=(0.18, 0.55),
    ),
    "jumping_jack": Action(
        movement={
            0.12: _both(70, -52, 0.80) | {"pelvis_y": -0.08, "lean": 10},
            0.19: _feet(0.0, 0.0) | {"pelvis_y": 0.0, "lean": 3},
            0.28: _both(4, 5, 0.97) | _feet(0.10, 0.06) | {"pelvis_y": 0.05},
            0.38: _both(2, 80, 0.97) | _feet(0.17, 0.0) | {"pelvis_y": -0.045},
            0.43: _both(2, 106, 0.97) | {"pelvis_y": -0.075, "nod": -4},
            0.52: _both(2, 106, 0.97) | _feet(0.17, 0.0) | {"pelvis_y": -0.085},
            0.58: _feet(0.17, 0.0) | {"pelvis_y": -0.04},
            0.68: _both(4, 5, 0.97) | _feet(0.09, 0.06) | {"pelvis_y": 0.05},
            0.79: _both(8, -40, 0.96) | _feet(0.0, 0.0) | {"pelvis_y": 0.0},
            0.90: _both(60, -68, 0.90) | {"pelvis_y": -0.07, "lean": 9},
        },
        events={"dip": 0.0, "take-off": 0.19, "hands meet": 0.43, "second take-off": 0.58},
        frames=27,
        still=((0.05, 0.14), (0.44, 0.54), (0.86, 0.94)),
        yaw=0.0,
    ),
}

DISTRACTORS: dict[str, Movement] = {
    "scratch_head": {
        0.25: _hand(35, 48, 0.66) | {"nod": 10},
        0.40: _hand(50, 52, 0.56),
        0.55: _hand(35, 48, 0.66),
        0.70: _hand(50, 52, 0.56) | {"nod": 10},
    },
    "look_around": {0.30: {"look": 55, "twist": 10}, 0.45: {"look": 55}, 0.75: {"look": -50, "twist": -10}},
    "wave": {
        0.22: _hand(25, 40, 0.85),
        0.36: _hand(5, 62, 0.85),
        0.50: _hand(25, 36, 0.85),
        0.64: _hand(5, 62, 0.85),
        0.78: _hand(25, 36, 0.85),
    },
    "step": {
        0.25: {"r_foot_y": 0.07, "pelvis_x": 0.03},
        0.5: {"r_foot_y": 0, "l_foot_y": 0, "pelvis_x": 0},
        0.75: {"l_foot_y": 0.07, "pelvis_x": -0.03},
    },
    "stretch": {
        0.40: _both(60, 62, 0.95) | {"lean": -7, "nod": -12},
        0.60: _both(40, 66, 0.97) | {"lean": -7},
    },
    "hands_on_hips": {0.30: _both(15, -62, 0.66), 0.75: _both(15, -62, 0.66) | {"side": 4}},
    "check_watch": {
        0.30: _hand(108, -18, 0.60) | {"nod": 30, "look": 10},
        0.72: _hand(108, -18, 0.60) | {"nod": 30},
    },
    "bend_aside": {
        0.35: {"side": 16, "r_elevation": -40, "r_azimuth": 5},
        0.6: {"side": 16, "r_elevation": -40},
    },
    "sag": {0.5: {"pelvis_y": -0.05, "lean": 8, "nod": 24}},
}


def mirrored(movement: Movement) -> Movement:
    """Exchange left and right of a movement."""

    def channel(name: str, value: float) -> tuple[str, float]:
        if name[:2] in OTHER_SIDE:
            return OTHER_SIDE[name[:2]] + name[2:], value
        return name, -value if name in ("pelvis_x", "side", "twist", "look") else value

    return {u: dict(channel(*item) for item in key.items()) for u, key in movement.items()}


def channels_at(movement: Movement, u: NDArray, amplitude: float = 1.0) -> dict[str, NDArray]:
    """Channel values of a movement.

    Parameters
    ----------
    movement : dict
        Keyframes; every channel is in its standing value at u = 0 and u = 1.
    u : ndarray [T]
        Canonical time in [0, 1].
    amplitude : float, default 1
        Stretches the differences from the standing pose (a puppet's style).

    Returns
    -------
    dict of str to ndarray [T]
    """
    values = {}
    for name, rest in STAND.items():
        keys = [(k, rest + amplitude * (key[name] - rest)) for k, key in movement.items() if name in key]
        knots, targets = zip((0.0, rest), *keys, (1.0, rest), strict=True)
        values[name] = PchipInterpolator(knots, targets)(u)
    return values


@dataclass(frozen=True)
class Body:
    """Lengths of a puppet's bones in body heights, and how stout it is."""

    upper_arm: float = 0.165
    forearm: float = 0.15
    thigh: float = 0.24
    shin: float = 0.235
    torso: float = 0.29
    shoulder: float = 0.115
    hip: float = 0.058
    stance: float = 0.075
    head: float = 0.072
    girth: float = 1.0


ANKLE = 0.045


def _two_bones(
    root: NDArray, target: NDArray, first: float, second: float, pole: NDArray
) -> tuple[NDArray, NDArray]:
    """Middle and end of two bones from root towards target [T, 3]; the middle bends towards the pole."""
    offset = target - root
    length = np.linalg.norm(offset, axis=-1, keepdims=True)
    direction = offset / length
    length = np.clip(length, abs(first - second) + 1e-3, 0.998 * (first + second))
    along = (length**2 + first**2 - second**2) / (2 * length)
    sideways = pole - (pole * direction).sum(-1, keepdims=True) * direction
    sideways /= np.linalg.norm(sideways, axis=-1, keepdims=True)
    middle = root + along * direction + np.sqrt(first**2 - along**2) * sideways
    return middle, root + length * direction


def _yawed(angle: NDArray, vector: NDArray) -> NDArray:
    """Vectors [T, 3] turned to the left by angle [T] degrees."""
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    x, y, z = np.moveaxis(vector, -1, 0)
    return np.stack([c * x + s * z, y, c * z - s * x], -1)


def skeleton(channels: dict[str, NDArray], body: Body) -> tuple[NDArray, NDArray]:
    """Joints of a moving puppet.

    Parameters
    ----------
    channels : dict of str to ndarray [T]
        As `channels_at` gives them.
    body : Body
        Bone lengths.

    Returns
    -------
    joints : ndarray [T, 17, 3]
        Positions in the body frame, body heights, in the order of `JOINTS`.
    face : ndarray [T, 3]
        Direction in which the puppet looks, unit length.
    """
    c = channels
    zero, one = np.zeros_like(c["lean"]), np.ones_like(c["lean"])
    lean, side = np.radians(c["lean"]), np.radians(c["side"])
    leg = 0.99 * (body.thigh + body.shin) + ANKLE
    pelvis = np.stack([c["pelvis_x"], leg + c["pelvis_y"], c["pelvis_z"]], -1)
    spine = np.stack([np.sin(side), np.cos(side) * np.cos(lean), np.cos(side) * np.sin(lean)], -1)
    neck = pelvis + body.torso * spine
    yaw = c["look"] + 0.4 * c["twist"]
    nod = np.radians(c["nod"])
    face = _yawed(yaw, np.stack([zero, -np.sin(nod), np.cos(nod)], -1))
    joints = {"head": neck + 0.095 * spine + 0.012 * face, "neck": neck, "pelvis": pelvis}
    for s, out in (("r", -1.0), ("l", 1.0)):
        across = _yawed(c["twist"], np.stack([out * one, zero, zero], -1))
        forward = _yawed(c["twist"], np.stack([zero, zero, one], -1))
        up = np.array([0.0, 1.0, 0.0])
        shoulder = neck + body.shoulder * across - 0.03 * spine
        azimuth, elevation = (np.radians(c[f"{s}_{k}"])[:, None] for k in ("azimuth", "elevation"))
        level = np.cos(azimuth) * across + np.sin(azimuth) * forward
        direction = np.cos(elevation) * level + np.sin(elevation) * up
        reach = np.clip(c[f"{s}_reach"], 0.3, 1.0)[:, None] * (body.upper_arm + body.forearm)
        pole = 0.5 * across - 0.5 * forward - 0.6 * up
        elbow, wrist = _two_bones(shoulder, shoulder + reach * direction, body.upper_arm, body.forearm, pole)
        hip = pelvis + np.array([out * body.hip, -0.01, 0.0])
        foot_x = out * (body.stance + c[f"{s}_foot_x"])
        ankle = np.stack([foot_x, ANKLE + c[f"{s}_foot_y"], c[f"{s}_foot_z"]], -1)
        knee, ankle = _two_bones(hip, ankle, body.thigh, body.shin, np.array([0.35 * out, 0.0, 1.0]))
        toe = ankle + np.array([0.028 * out, -0.028, 0.085])
        found = (shoulder, elbow, wrist, hip, knee, ankle, toe)
        joints |= dict(
            zip(
                (f"{s}_{k}" for k in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")),
                found,
                strict=True,
            )
        )
    return np.stack([joints[name] for name in JOINTS], 1), face
