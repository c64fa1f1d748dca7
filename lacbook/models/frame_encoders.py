"""From one frame or pose to a feature vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

GRID = 4  # cells a side of the last feature map that keep their place


class ConvFrameEncoder(nn.Module):
    """A small convolutional network for frames, trained from scratch.

    The first layer strides by 4, which is where a CPU saves most of its time. Group normalisation keeps the
    clips of a batch apart.

    Parameters
    ----------
    dim : int
        Size of the feature vector.
    width : int, default 32
        Channels of the first layer; the two further layers have twice as many.
    """

    def __init__(self, dim: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 6, stride=4, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(4, 2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(4, 2 * width),
            nn.ReLU(),
        )
        # A grid keeps where in the picture a feature was: raised hands and bent knees look alike without it.
        self.head = nn.Linear(2 * width * GRID**2, dim)

    def forward(self, frames: Tensor) -> Tensor:
        """Features [F, dim] of frames [F, 3, H, W], pixels less their mean over the clip."""
        maps = self.layers((frames * 4).contiguous(memory_format=torch.channels_last))
        return self.head(adaptive_avg_pool2d(maps, GRID).flatten(1))


class PoseEncoder(nn.Module):
    """A two-layer perceptron for poses.

    Parameters
    ----------
    pose_dim : int
        Numbers in a pose, P.
    dim : int
        Size of the feature vector.
    """

    def __init__(self, pose_dim: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(pose_dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, poses: Tensor) -> Tensor:
        """Features [F, dim] of poses [F, P]."""
        return self.layers(poses)
