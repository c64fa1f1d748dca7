import dataclasses

import pytest
import torch

from lacbook.errors import InputError
from lacbook.models.encoder import EncoderConfig, VideoEncoder
from lacbook.models.positions import POSITIONS, rotate, sinusoidal
from lacbook.models.transformer import TemporalTransformer

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
def test_attention_alone_joins_the_frames_of_a_clip(positions):
    """The encoder's mean over the clip would hide attention that does nothing: the transformer alone."""
    torch.manual_seed(0)
    model = TemporalTransformer(16, hidden=16, positions=positions, drop=0.0).eval()
    features = torch.randn(3, 7, 16)
    before = model(features, LENGTHS)
    features[1, 2, 0] += 0.5  # one number of it: the norm of the layers would undo a shift of all
    changed = (model(features, LENGTHS) - before).abs().amax(2)
    assert (changed[1, :5] > 1e-6).all()
    assert (changed[[0, 2]] == 0).all()


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
    """Attention weights of rotated queries and keys stay the same when all come four frames later."""
    batch = clips("pose")[:1]
    q, k = torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    weights = rotate(q) @ rotate(k).transpose(-1, -2)
    late_q, late_k = (torch.cat([torch.zeros(1, 2, 4, 8), x], dim=2) for x in (q, k))
    assert torch.allclose(
        (rotate(late_q) @ rotate(late_k).transpose(-1, -2))[..., 4:, 4:], weights, atol=1e-4
    )
    lengths = torch.tensor([7])
    assert not torch.allclose(encoder("pose", "none")(batch, lengths), encoder("pose")(batch, lengths))


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
        ({"dim": 0}, "dim: expected 1 or more, found 0"),
        ({"heads": 0}, "heads: expected 1 or more, found 0"),
        ({"embedding_dim": -1}, "embedding_dim: expected 1 or more, found -1"),
        ({"drop": 1.0}, "drop: expected at least 0 and below 1, found 1.0"),
    ],
)
def test_unknown_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        VideoEncoder(dataclasses.replace(SMALL, **options), pose_dim=6)


def test_pose_encoder_needs_to_know_the_pose():
    with pytest.raises(ValueError, match="pose_dim"):
        VideoEncoder(SMALL)
