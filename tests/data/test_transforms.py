"""A view stays one video: each of its frames is changed in the same way, and each view in its own."""

from __future__ import annotations

import pytest
import torch

from lacbook.data.transforms import FrameAugmentation, PoseAugmentation


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def still_frames():
    """One picture, four views of five frames; [4, 5, 3, 32, 32]."""
    picture = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    return picture.expand(4, 5, 3, 32, 32).contiguous()


@pytest.fixture
def poses():
    """Four views of six poses of ten joints; [4, 6, 30]."""
    return torch.randn(4, 6, 30)


def pairwise(joints):
    return torch.cdist(joints, joints)


def test_equal_frames_stay_equal_within_a_view_and_not_between_views(still_frames):
    out = FrameAugmentation(24)(still_frames)
    assert out.shape == (4, 5, 3, 24, 24)
    assert torch.equal(out, out[:, :1].expand_as(out))
    for k in range(1, 4):
        assert (out[0] - out[k]).abs().mean() > 0.01


def test_frames_keep_the_range_and_their_order_in_time(still_frames):
    ramp = torch.linspace(0, 1, 5).view(1, 5, 1, 1, 1)
    for _ in range(5):
        out = FrameAugmentation(32)((still_frames * ramp).byte())
        assert out.min() >= 0
        assert out.max() <= 1
        assert (out.mean((2, 3, 4)).diff(dim=1) >= 0).all()


def test_padding_changes_no_frame(still_frames):
    padded = torch.cat([still_frames, torch.zeros(4, 3, 3, 32, 32, dtype=torch.uint8)], dim=1)
    results = []
    for clips in (still_frames, padded):
        torch.manual_seed(1)
        results.append(FrameAugmentation(32)(clips))
    assert torch.equal(results[0], results[1][:, :5])


@pytest.mark.parametrize("coordinates", [2, 3])
def test_equal_poses_stay_equal_within_a_view_and_not_between_views(coordinates):
    pose = torch.randn(30).expand(4, 6, 30).contiguous()
    out = PoseAugmentation(coordinates, noise=0)(pose)
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-6)
    for k in range(1, 4):
        assert (out[0] - out[k]).abs().max() > 0.01


def test_a_turned_pose_keeps_distances_up_to_one_scale_and_heights_up_to_the_same(poses):
    out = PoseAugmentation(3, noise=0)(poses).view(4, 6, 10, 3)
    before = poses.view(4, 6, 10, 3)
    scale = out[:, 0, 0, 2] / before[:, 0, 0, 2]
    assert ((scale > 0.9 - 1e-5) & (scale < 1.1 + 1e-5)).all()
    assert len(scale.unique()) == 4
    scale = scale.view(4, 1, 1, 1)
    assert torch.allclose(pairwise(out), scale * pairwise(before), atol=1e-3)
    assert torch.allclose(out[..., 2], (scale * before)[..., 2], atol=1e-5)
    assert (out - scale * before).abs().max() > 0.05  # it did turn


def test_a_flat_pose_is_mirrored_half_of_the_time_and_narrowed_only_sideways():
    before = torch.randn(1, 1, 10, 2).expand(200, 1, 10, 2)
    out = PoseAugmentation(2, noise=0)(before.reshape(200, 1, 20)).view(200, 10, 2)
    ratio = (out / before[:, 0]).mean(1)  # of x and y, for each view
    narrowing = ratio[:, 0] / ratio[:, 1]
    assert 60 < (narrowing < 0).sum() < 140
    assert ((narrowing.abs() < 1 + 1e-4) & (narrowing.abs() > 0.866 - 1e-4)).all()
    assert ((ratio[:, 1] > 0.9 - 1e-4) & (ratio[:, 1] < 1.1 + 1e-4)).all()


def test_noise_has_the_given_size():
    out = PoseAugmentation(3, noise=0.05)(torch.zeros(4, 100, 30))
    assert out.std().item() == pytest.approx(0.05, rel=0.05)


def test_padding_poses_stay_zero_but_for_the_noise(poses):
    poses[:, 4:] = 0
    assert (PoseAugmentation(3, noise=0)(poses)[:, 4:] == 0).all()
