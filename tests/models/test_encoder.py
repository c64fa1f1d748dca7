import dataclasses

import pytest
import torch

from lacbook.errors import InputError
from lacbook.models.encoder import EncoderConfig, VideoEncoder
from lacbook.models.positions import POSITIONS, rotate, sinusoidal

SMALL = EncoderConfig(frame_encoder="pose", dim=32, hidden=48, embedding_dim=16)


def encoder(kind: str, positions: str = "rotary") -> VideoEncoder:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, frame_encoder=kind, positions=positions)
    return VideoEncoder(config, pose_dim=6).eval()


def clips(kind: str) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(3, 7, 3, 16, 16) if kind == "conv" else torch.randn(3, 7, 6)


LENGTHS = torch.tensor([7, 5, 7])


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["conv", "pose"])
def test_a_frame_reaches_its_own_clip_and_no_other(kind, positions):
    """The released code attends over the batch instead of over time; this is the test it lacks."""
    model, batch = encoder(kind, positions), clips(kind)
    before = model(batch, LENGTHS)
    batch[1, 2] += 0.5
    changed = (model(batch, LENGTHS) - before).abs().amax(2)
    assert (changed[1, :5] > 1e-6).all(), "every frame of the clip sees the change"
    assert (changed[[0, 2]] == 0).all(), "no other clip does"


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["conv", "pose"])
def test_padding_changes_nothing(kind, positions):
    model, batch = encoder(kind, positions), clips(kind)
    alone = model(batch[1:2, :5], LENGTHS[1:2])[0]
    batch[1, 5:] = float("nan")
    together = model(batch, LENGTHS)
    assert torch.allclose(together[1, :5], alone, atol=1e-5)
    assert torch.isfinite(together).all()


def test_embeddings_have_unit_length():
    z = encoder("conv")(clips("conv"), LENGTHS)
    assert z.shape == (3, 7, 16)
    assert torch.allclose(z.norm(dim=-1), torch.ones(3, 7), atol=1e-5)


def test_rotary_sees_distance_and_not_place():
    """Shifting a clip in time shifts its embeddings; stretched sinusoidal codes would change them."""
    batch = clips("pose")[:1]
    padded = torch.cat([batch, batch], dim=1)  # periodic in time, so that the middle has the same neighbours
    q, k = torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    weights = rotate(q) @ rotate(k).transpose(-1, -2)
    late_q, late_k = (torch.cat([torch.zeros(1, 2, 4, 8), x], dim=2) for x in (q, k))
    assert torch.allclose(
        (rotate(late_q) @ rotate(late_k).transpose(-1, -2))[..., 4:, 4:], weights, atol=1e-4
    )
    assert not torch.allclose(
        encoder("pose", "none")(padded, torch.tensor([14])), encoder("pose")(padded, torch.tensor([14]))
    )


def test_sinusoidal_codes_are_normalised_time():
    codes = sinusoidal(torch.tensor([5, 9]), 9, 8)
    assert torch.allclose(codes[0, 4], codes[1, 8], atol=1e-5)  # both are the last frame of their clip
    assert torch.allclose(codes[0, 2], codes[1, 4], atol=1e-5)  # both are half-way


def test_one_frame_is_enough():
    assert torch.isfinite(encoder("pose")(torch.randn(1, 1, 6), torch.tensor([1]))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_encoder": "resnet"}, "frame_encoder: 'resnet'"),
        ({"positions": "learned"}, "positions: 'learned'"),
        ({"dim": 30}, "dim: 30"),
    ],
)
def test_unknown_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        VideoEncoder(dataclasses.replace(SMALL, **options), pose_dim=6)


def test_pose_encoder_needs_to_know_the_pose():
    with pytest.raises(ValueError, match="pose_dim"):
        VideoEncoder(SMALL)
