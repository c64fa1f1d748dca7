import pytest
import torch

from lacbook.similarity import cosine, inverse_distance, negative_squared_distance


@pytest.fixture
def xy():
    torch.manual_seed(0)
    return torch.randn(2, 5, 8, dtype=torch.float64), torch.randn(2, 7, 8, dtype=torch.float64)


def test_cosine_is_minus_margin_for_orthogonal_frames():
    x = torch.eye(3)
    assert torch.allclose(cosine(x, 5 * x, margin=0.4), torch.eye(3) - 0.4)


def test_distances_agree_with_cdist(xy):
    squared = torch.cdist(*xy) ** 2
    assert torch.allclose(negative_squared_distance(*xy, margin=2.0), 2.0 - squared)
    assert torch.allclose(inverse_distance(*xy), 1 / (squared + 1e-8))


def test_inverse_distance_is_positive_everywhere_so_alignments_cannot_end(xy):
    assert (inverse_distance(*xy) > 0).all()
    assert (cosine(*xy, margin=0.5) < 0).any()


def test_gradient_of_equal_frames_is_finite():
    x = torch.randn(4, 8, requires_grad=True)
    (cosine(x, x.detach(), 0.5).sum() + negative_squared_distance(x, x.detach()).sum()).backward()
    assert torch.isfinite(x.grad).all()
