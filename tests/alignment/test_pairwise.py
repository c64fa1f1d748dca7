"""All videos against all, compared with a loop over pairs of `soft_smith_waterman`."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from lacbook import pairwise_alignment
from lacbook.alignment import cuda_kernels, pairwise, recursion, smith_waterman, soft_smith_waterman
from lacbook.similarity import cosine, inverse_distance, negative_squared_distance

pytestmark = pytest.mark.skipif(cuda_kernels.SIMULATED, reason="the backends have their own tests")

LENGTHS = [4, 1, 6, 5, 2]
OPTIONS = {"similarity": partial(cosine, margin=0.2), "temperature": 0.3}


def random_frames(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_videos():
    return [random_frames(size, 3, seed=size) for size in LENGTHS]


def padded(videos, filler):
    frames = torch.full(
        (len(videos), max(map(len, videos)), videos[0].shape[1]), filler, dtype=videos[0].dtype
    )
    for row, video in zip(frames, videos, strict=True):
        row[: len(video)] = video
    return frames


def by_loop(videos, gap_open, gap_extend, similarity, temperature):
    """All V * V pairs, so that the symmetry of the scores is tested as well."""
    return torch.stack(
        [
            soft_smith_waterman(similarity(x, y), gap_open, gap_extend, temperature=temperature).score
            for x in videos
            for y in videos
        ]
    ).view(len(videos), len(videos))


def gradients(align, videos, weights, margin):
    """Scores, and the derivatives of their weighted sum by embeddings, penalties and margin."""
    leaves = [*videos, *(torch.tensor(x, dtype=torch.float64) for x in (0.3, 0.1, margin))]
    *videos, go, ge, margin = (x.detach().clone().requires_grad_() for x in leaves)
    scores = align(videos, go, ge, similarity=partial(cosine, margin=margin), temperature=0.3)
    return scores, *torch.autograd.grad((weights * scores).sum(), (*videos, go, ge, margin))


@pytest.mark.parametrize("chunk", [1, 2, 4, 15, None])
def test_scores_and_gradients_equal_those_of_a_loop(chunk):
    weights = random_frames(5, 5, seed=9)  # not symmetric: each half gets its share
    found = gradients(partial(pairwise_alignment, chunk=chunk), random_videos(), weights, 0.2)
    truth = gradients(by_loop, random_videos(), weights, 0.2)
    assert torch.equal(found[0], found[0].T)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("chunk", [4, 6])
def test_gradcheck(chunk):
    def scores(x, go, ge):
        return pairwise_alignment(x, go, ge, lengths=[3, 2, 4], chunk=chunk, **OPTIONS)

    inputs = random_frames(3, 4, 2), *(torch.tensor(x, dtype=torch.float64) for x in (0.3, 0.1))
    inputs = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(scores, inputs)
    assert torch.autograd.gradgradcheck(scores, inputs)


def cosine_undefined_at_zero(x, y):
    x, y = (z / z.norm(dim=-1, keepdim=True) for z in (x, y))
    return x @ y.transpose(-1, -2)


@pytest.mark.parametrize("filler", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("chunk", [2, None])
@pytest.mark.parametrize("similarity", [cosine, negative_squared_distance, cosine_undefined_at_zero])
def test_padding_is_never_read(filler, chunk, similarity):
    """Nor does what a similarity makes of it reach the gradient, where 0 * NaN is NaN."""
    videos = random_videos()
    frames = padded(videos, filler).requires_grad_()
    options = OPTIONS | {"similarity": similarity, "chunk": chunk}
    found = pairwise_alignment(frames, 0.3, 0.1, lengths=LENGTHS, **options)
    leaves = [x.requires_grad_() for x in videos]
    truth = pairwise_alignment(leaves, 0.3, 0.1, **options)
    torch.testing.assert_close(found, truth)
    expected = torch.autograd.grad(truth.sum(), leaves)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), frames)[0], padded(expected, 0.0))


@pytest.mark.parametrize("temperature", [0.0, 0.03, 1.0])
@pytest.mark.parametrize(("go", "ge"), [(1.0, 0.3), (0.1, 0.6), (0.0, 0.0), (-0.2, -0.1)])
def test_swapping_two_videos_keeps_their_score(go, ge, temperature):
    """Skips in X follow skips in Y, never the other way round, which gives every chain of matches one
    alignment, and with penalties that are numbers the same cost from either side."""
    s = random_frames(5, 7).numpy()
    forth, back = (recursion.forward(x, go, ge, temperature).score for x in (s, s.T))
    assert forth == pytest.approx(back, rel=1e-13)


def recorded(monkeypatch):
    """Sizes of the tables that are aligned from now on."""
    shapes = []
    real = pairwise.soft_smith_waterman

    def record(similarity, *rest, **options):
        shapes.append(tuple(similarity.shape))
        return real(similarity, *rest, **options)

    monkeypatch.setattr(pairwise, "soft_smith_waterman", record)
    return shapes


def held(make):
    """Its result, and the numbers of 6 x 6 tables that autograd keeps for it."""
    sizes = []
    keep = torch.autograd.graph.saved_tensors_hooks(
        lambda x: sizes.append(x.numel() if x.shape[-2:] == (6, 6) else 0) or x, lambda x: x
    )
    with keep:
        result = make()
    return result, sum(sizes)


def test_no_more_than_a_chunk_is_held_at_a_time(monkeypatch):
    """15 pairs: each is aligned once, and again in a backward pass, in chunks of 4."""
    shapes = recorded(monkeypatch)
    x = random_frames(5, 6, 3).requires_grad_()
    with torch.no_grad():
        pairwise_alignment(x, 0.3, 0.1, chunk=4)
    in_chunks = [(4, 6, 6), (4, 6, 6), (4, 6, 6), (3, 6, 6)]
    assert shapes == in_chunks
    scores, numbers = held(lambda: pairwise_alignment(x, 0.3, 0.1, chunk=4))
    assert numbers == 0
    scores.sum().backward()
    assert shapes[4:8] == in_chunks
    assert sorted(shapes[8:]) == sorted(in_chunks)
    assert len(shapes) == 12


def test_a_single_chunk_is_not_computed_again(monkeypatch):
    shapes = recorded(monkeypatch)
    scores, numbers = held(lambda: pairwise_alignment(random_frames(5, 6, 3).requires_grad_(), 0.3, 0.1))
    assert numbers >= 15 * 36
    scores.sum().backward()
    assert shapes == [(15, 6, 6)]


def test_penalties_changed_after_the_alignment_do_not_matter():
    """As by an optimiser: what is computed again is what was computed."""
    go = torch.tensor(0.3, requires_grad=True)
    x = random_frames(5, 6, 3)
    expected = torch.autograd.grad(pairwise_alignment(x, go, 0.1, chunk=4).sum(), go)
    scores = pairwise_alignment(x, go, 0.1, chunk=4)
    with torch.no_grad():
        go += 5
    assert torch.autograd.grad(scores.sum(), go) == expected


def test_the_default_chunk_has_the_cells_of_the_longest_pairs(monkeypatch):
    monkeypatch.setattr(pairwise, "CELLS", 80)
    shapes = recorded(monkeypatch)
    pairwise_alignment(random_videos(), 0.3, 0.1)
    assert [shape[0] for shape in shapes] == [2] * 7 + [1]
    assert shapes[0] == (2, 4, 4)  # cut to the longest of the chunk: videos 0 and 1
    monkeypatch.setattr(pairwise, "CELLS", 1)
    pairwise_alignment(random_videos(), 0.3, 0.1)
    assert len(shapes) == 8 + 15


@pytest.mark.parametrize("chunk", [2, None])
def test_temperature_0_gives_the_hard_scores(chunk):
    videos = [x.requires_grad_() for x in random_videos()]
    histories = []

    def watched(x, y):
        table = cosine(x, y)
        histories.append(table.requires_grad)
        return table

    found = pairwise_alignment(videos, 0.3, 0.1, similarity=watched, chunk=chunk, temperature=0)
    for i, x in enumerate(videos):
        for j, y in enumerate(videos):
            assert found[i, j].item() == pytest.approx(smith_waterman(cosine(x, y), 0.3, 0.1).score.item())
    assert not any([found.requires_grad, *histories])
    nearly = pairwise_alignment(videos, 0.3, 0.1, temperature=1e-4)
    torch.testing.assert_close(nearly.detach().clamp(min=0), found, rtol=0, atol=1e-3)


def test_no_gradient_where_none_is_asked_for():
    x = random_frames(3, 4, 2)
    go = torch.tensor(0.3, requires_grad=True)
    assert not pairwise_alignment(x, 0.3, 0.1, chunk=2).requires_grad
    assert pairwise_alignment(x, go, 0.1, chunk=2).requires_grad
    with torch.no_grad():
        assert not pairwise_alignment(x.requires_grad_(), go, 0.1, chunk=2).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    videos = [x.to(dtype).requires_grad_() for x in random_videos()]
    found = pairwise_alignment(videos, 0.3, 0.1, chunk=4)
    found.sum().backward()
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert videos[0].grad.dtype == dtype
    wide = pairwise_alignment([x.detach().double() for x in videos], 0.3, 0.1)
    torch.testing.assert_close(found.double(), wide, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["recursion", "numba", "wavefront"])
def test_arrays_on_every_backend(backend):
    frames = random_frames(3, 4, 2).numpy()[::-1]
    found = pairwise_alignment(frames, 0.3, np.array(0.1), lengths=np.array([4, 1, 3]), backend=backend)
    videos = [torch.tensor(x[:n].copy()) for x, n in zip(frames, (4, 1, 3), strict=True)]
    torch.testing.assert_close(found, by_loop(videos, 0.3, 0.1, cosine, 1.0))


def test_one_video():
    x = random_frames(4, 2)
    found = pairwise_alignment([x], 0.3, 0.1)
    torch.testing.assert_close(found, soft_smith_waterman(cosine(x, x), 0.3, 0.1).score.view(1, 1))


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_no_video(temperature):
    x = torch.zeros(0, 4, 2, dtype=torch.float64, requires_grad=True)
    found = pairwise_alignment(x, 0.3, 0.1, lengths=[], temperature=temperature)
    assert (found.shape, found.dtype) == ((0, 0), torch.float64)
    found.sum().backward()
    assert pairwise_alignment([], 0.3, 0.1).shape == (0, 0)


def test_symmetric_up_to_rounding_is_symmetric():
    """In half precision, too."""
    x = random_frames(4, 30, 64, dtype=torch.float32)

    def rounded(x, y):
        return cosine(x, y) + 1e-6 * torch.linspace(-1, 1, len(y))

    for similarity in (cosine, rounded, partial(negative_squared_distance, margin=100.0), inverse_distance):
        pairwise_alignment(x, 1.0, 0.3, similarity=similarity)
        pairwise_alignment(x, 1.0, 0.3, similarity=lambda a, b, s=similarity: s(a, b).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert pairwise_alignment(x, 1.0, 0.3).isfinite().all()


def test_forbidden_cells_are_symmetric():
    def holes(x, y):
        s = cosine(x, y)
        return s.masked_fill(s < 0, -math.inf)

    videos = [torch.eye(2), -torch.eye(2), torch.ones(3, 2)]
    found = pairwise_alignment(videos, 0.3, 0.1, similarity=holes)
    assert found[1, 2] == found[2, 1] == -math.inf
    assert found.diagonal().isfinite().all()


def bilinear(x, y):
    return x @ torch.tensor([[1.0, 0.1], [0.0, 1.0]]) @ y.transpose(-1, -2)


GOOD = {"embeddings": random_frames(3, 4, 2, dtype=torch.float32), "gap_open": 1.0, "gap_extend": 0.3}
WITH_NAN = GOOD["embeddings"].clone()
WITH_NAN[1, 2, 0] = math.nan
LIST = list(GOOD["embeddings"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"embeddings": torch.zeros(3, 4)}, r"embeddings has shape \(3, 4\); expected \(V, T, E\)"),
        ({"embeddings": torch.zeros(3, 0, 4)}, r"embeddings has shape \(3, 0, 4\)"),
        ({"embeddings": torch.zeros(3, 4, 2).bool()}, "embeddings has dtype torch.bool"),
        ({"embeddings": WITH_NAN}, "embeddings of video 1 at frame 2 are not finite"),
        ({"embeddings": WITH_NAN, "lengths": [4, 3, 4]}, "embeddings of video 1 at frame 2 are not finite"),
        ({"embeddings": [torch.zeros(4)]}, r"embeddings\[0\] has shape \(4,\) .* expected \(T, E\)"),
        ({"embeddings": [*LIST, torch.zeros(4, 3)]}, r"embeddings\[3\] has shape \(4, 3\) .* \(T, 2\)"),
        ({"embeddings": [*LIST, torch.zeros(0, 2)]}, r"embeddings\[3\] has shape \(0, 2\)"),
        ({"embeddings": [*LIST, torch.zeros(4, 2).double()]}, r"embeddings\[3\] .* dtype torch.float64"),
        ({"embeddings": [*LIST, torch.zeros(4, 2).cfloat()]}, r"embeddings\[3\] has dtype torch.complex64"),
        ({"embeddings": LIST, "lengths": [4, 4, 4]}, "lengths is given, but embeddings is a list"),
        ({"lengths": [4, 4]}, r"lengths has shape \(2,\); expected \(3,\)"),
        ({"lengths": [[4, 4]] * 3}, r"lengths has shape \(3, 2\)"),
        ({"lengths": [4.0, 4.0, 4.0]}, "lengths has dtype torch.float64; expected whole numbers"),
        ({"lengths": [True, True, True]}, "lengths has dtype torch.bool"),
        ({"lengths": [4, 0, 4]}, "lengths of video 1 is 0; expected 1 to 4"),
        ({"lengths": [4, 4, 5]}, "lengths of video 2 is 5; expected 1 to 4"),
        ({"gap_open": torch.ones(3)}, r"gap_open has shape \(3,\); expected one number"),
        ({"gap_extend": np.ones((4, 4))}, r"gap_extend has shape \(4, 4\); expected one number"),
        ({"gap_open": None}, "gap_open has dtype object"),
        ({"gap_extend": math.inf}, "gap_extend is inf"),
        ({"gap_open": torch.tensor(math.nan), "temperature": 0}, "gap_open is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"backend": "fast"}, "backend is 'fast'"),
        ({"backend": "fast", "temperature": 0}, "backend is 'fast'"),
        ({"chunk": 0}, "chunk is 0; expected a whole number, at least 1"),
        ({"chunk": 2.0}, "chunk is 2.0"),
        ({"chunk": True}, "chunk is True"),
        ({"similarity": bilinear}, "similarity is not symmetric: frame 0 of the first video and frame 0 of"),
        ({"similarity": lambda x, y: cosine(x, y).softmax(-1)}, "similarity is not symmetric"),
        ({"similarity": lambda x, y: cosine(x, y).tril()}, "similarity is not symmetric"),
        ({"similarity": lambda x, y: bilinear(x, y).where(cosine(x, y) > 0, -math.inf)}, "not symmetric"),
        ({"similarity": lambda x, y: x @ x.transpose(1, 2) @ y}, r"similarity returned shape \(1, 4, 2\)"),
        ({"similarity": lambda x, y: cosine(x, y).long()}, "similarity returned .* dtype torch.int64"),
        ({"similarity": lambda x, y: cosine(x, y) + math.inf}, r"similarity of pair 0 at \(0, 0\) is inf"),
        ({"similarity": lambda x, y: cosine(x, y) + math.nan}, r"similarity of pair 0 at \(0, 0\) is nan"),
    ],
)
def test_bad_input(wrong, message):
    with pytest.raises(ValueError, match=message):
        pairwise_alignment(**(GOOD | wrong))
