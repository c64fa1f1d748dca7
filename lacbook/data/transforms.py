"""Augmentations of the views: one draw of parameters for a whole view, so that its frames stay one video."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrameAugmentation(nn.Module):
    """Crop, mirror, shuffled colour channels, grey, brightness; by kornia.

    A cheaper set than SimCLR's, which CARL and LAC use: on a CPU jitter of hue and saturation alone takes
    longer than training on the frames, and shuffled channels make colours as unreliable.

    Parameters
    ----------
    size : int
        Height and width of the result.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        import kornia.augmentation as K  # slow to import, so only where frames are augmented

        self.views = K.VideoSequential(
            K.RandomResizedCrop((size, size), scale=(0.8, 1.0), ratio=(3 / 4, 4 / 3), p=1.0),
            K.RandomHorizontalFlip(p=0.5),
            K.RandomChannelShuffle(p=0.5),
            K.RandomGrayscale(p=0.2),
            K.RandomBrightness((0.7, 1.3), p=0.8),
            data_format="BTCHW",
            same_on_frame=True,
        )

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
        """Augmented frames in [0, 1] of uint8 [B, T, 3, H, W]; each of the B views has its own parameters."""
        return self.views(clips.float() / 255).clamp(0, 1)


class PoseAugmentation(nn.Module):
    """Turns, mirrors, scales and shakes poses (ours).

    Parameters
    ----------
    coordinates : {2, 3}
        Numbers a joint has. Three: turned about the vertical z axis. Two: mirrored half of the time and
        narrowed, which is what a turn looks like in a picture.
    turn : float, default pi / 6
        Largest angle, radians.
    noise : float, default 0.01
        Standard deviation added to each number, in the poses' unit.
    """

    def __init__(self, coordinates: int, turn: float = torch.pi / 6, noise: float = 0.01) -> None:
        super().__init__()
        self.coordinates, self.turn, self.noise = coordinates, turn, noise

    @torch.no_grad()
    def forward(self, clips: Tensor) -> Tensor:
        """Augmented poses of poses [B, T, P]; each of the B views has its own parameters."""
        batch, time, values = clips.shape
        joints = clips.view(batch, time, values // self.coordinates, self.coordinates)
        angle = (2 * torch.rand(batch, device=clips.device) - 1) * self.turn
        transform = torch.eye(self.coordinates, device=clips.device).repeat(batch, 1, 1)
        if self.coordinates == 3:
            transform[:, 0, 0] = transform[:, 1, 1] = angle.cos()
            transform[:, 0, 1], transform[:, 1, 0] = -angle.sin(), angle.sin()
        else:
            transform[:, 0, 0] = angle.cos() * (2 * torch.randint(0, 2, (batch,), device=clips.device) - 1)
        scale = 0.9 + 0.2 * torch.rand(batch, 1, 1, device=clips.device)
        turned = joints @ (transform * scale)[:, None]
        return (turned + self.noise * torch.randn_like(turned)).view(batch, time, values)


def augmentation(modality: str, size: int, coordinates: int) -> FrameAugmentation | PoseAugmentation:
    """The augmentation of ``"frames"`` (`size` pixels a side) or ``"poses"`` (`coordinates` a joint)."""
    return FrameAugmentation(size) if modality == "frames" else PoseAugmentation(coordinates)
