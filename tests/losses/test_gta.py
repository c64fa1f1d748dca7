import math

import pytest
import torch

from lacbook.losses.gta import GTALoss, cycle_probabilities, gta_loss


@pytest.fixture
def views():
    """Two pairs of videos; the second is shorter."""
    torch.manual_seed(0)
    z_u, z_v = torch.randn(2, 6, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    return z_u, z_v, torch.tensor([[6, 5], [4, 3]])


def softmax(values):
    weights = [math.exp(x - max(values)) for x in values]
    return [w / sum(weights) for w in weights]


def table_of(x, y, tau, temperature):
    """R of one pair, with x as the rows: a nested list."""
    x, y = ([z / z.norm() for z in video] for video in (x, y))
    table = [[0.0] * len(y) for _ in x]
    for j, b in enumerate(y):
        p = softmax([float(a @ b) / tau for a in x])
        for i in range(len(x)):
            before = [(i, j - 1), (i - 1, j - 1), (i - 1, j)]
            r = [table[k][l] for k, l in before if k >= 0 and l >= 0] or [0.0]
            shares = softmax([-value / temperature for value in r])
            table[i][j] = -math.log(p[i]) + sum(s * value for s, value in zip(shares, r, strict=True))
    return table


def literal(z_u, z_v, lengths, tau=0.1, temperature=0.1, weight=0.1, smoothing=0.1):
    """The equations, a cell at a time; loss, alignment, cycle."""
    alignment, rows = 0.0, []
    for b, (n, m) in enumerate(lengths.tolist()):
        uv = table_of(z_u[b, :n], z_v[b, :m], tau, temperature)
        vu = table_of(z_v[b, :m], z_u[b, :n], tau, temperature)
        alignment += (uv[-1][-1] + vu[-1][-1]) / len(lengths)
        from_v = [softmax([-uv[i][j] for i in range(n)]) for j in range(m)]
        from_u = [softmax([-vu[j][k] for j in range(m)]) for k in range(n)]
        for k in range(n):
            back = [sum(from_u[k][j] * from_v[j][i] for j in range(m)) for i in range(n)]
            assert sum(back) == pytest.approx(1)
            target = [(1 - smoothing) * (i == k) + smoothing / n for i in range(n)]
            rows.append(-sum(t * math.log(p) for t, p in zip(target, back, strict=True)))
    cycle = sum(rows) / len(rows)
    return weight * alignment + cycle, alignment, cycle


@pytest.mark.parametrize(
    "options", [{}, {"tau": 0.5, "temperature": 2.0, "weight": 0.7, "smoothing": 0.0}, {"smoothing": 0.6}]
)
def test_equals_the_literal_equations(views, options):
    z_u, z_v, lengths = views
    parts = GTALoss(**options)(z_u, z_v, torch.zeros(2, 6), torch.zeros(2, 5), lengths)
    found = [parts[name].item() for name in ("loss", "alignment", "cycle")]
    assert found == pytest.approx(literal(*views, **options), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_is_not_read_and_gets_no_gradient(views, dtype):
    z_u, z_v, lengths = views
    short = [z_u[1:, :4].to(dtype).requires_grad_(), z_v[1:, :3].to(dtype).requires_grad_()]
    alone = gta_loss(*short, lengths[1:])["loss"]
    padded = [torch.full_like(z[1:], torch.nan, dtype=dtype) for z in (z_u, z_v)]
    for wide, z in zip(padded, short, strict=True):
        wide[:, : z.shape[1]] = z.detach()
        wide.requires_grad_()
    loss = gta_loss(*padded, lengths[1:])["loss"]
    assert loss.dtype == dtype
    assert torch.allclose(loss, alone)
    for z, wide in zip(short, padded, strict=True):
        (expected,) = torch.autograd.grad(alone, z, retain_graph=True)
        (gradient,) = torch.autograd.grad(loss, wide, retain_graph=True)
        assert torch.allclose(gradient[:, : z.shape[1]], expected, atol=1e-6)
        assert (gradient[:, z.shape[1] :] == 0).all()


def test_gradcheck(views):
    z_u, z_v, lengths = views
    assert torch.autograd.gradcheck(
        lambda u, v: gta_loss(u, v, lengths)["loss"], (z_u.requires_grad_(), z_v.requires_grad_())
    )


def test_rows_of_the_cycle_sum_to_one_and_those_of_the_product_do_not():
    torch.manual_seed(0)
    table_uv, table_vu = torch.rand(2, 6, 5) * 3, torch.rand(2, 5, 6) * 3
    table_uv[1, 4:], table_vu[1, 3:], table_uv[1, :, 3:], table_vu[1, :, 4:] = (torch.nan,) * 4
    cycle = cycle_probabilities(table_uv, table_vu, torch.tensor([[6, 5], [4, 3]]))
    rows, columns = cycle.sum(2), cycle.sum(1)
    assert torch.allclose(rows[0], torch.ones(6))
    assert torch.allclose(rows[1], torch.tensor([1.0, 1, 1, 1, 0, 0]))
    # Without the transpose a cross-entropy would read these.
    product = table_uv[0].neg().softmax(0) @ table_vu[0].neg().softmax(0)
    assert torch.allclose(product, cycle[0].T)
    assert (product.sum(1) - 1).abs().max() > 0.1
    assert torch.allclose(product.sum(1), columns[0])


def test_a_perfect_cycle_costs_nothing():
    z = torch.eye(12)[None]
    lengths = torch.tensor([[12, 12]])
    right = gta_loss(z, z, lengths, smoothing=0.0)
    assert right["cycle"] < 0.01  # 1.6 if the probabilities served as logits
    assert right["alignment"] < 0.1
    wrong = gta_loss(z, z.flip(1), lengths, smoothing=0.0)
    assert wrong["cycle"] > 1
    assert wrong["alignment"] > 10


def test_float32_keeps_the_small_probabilities():
    torch.manual_seed(0)
    z_u, z_v, lengths = torch.randn(1, 80, 16), torch.randn(1, 80, 16), torch.tensor([[80, 80]])
    exact = gta_loss(z_u.double(), z_v.double(), lengths)["loss"].item()
    assert gta_loss(z_u, z_v, lengths)["loss"].item() == pytest.approx(exact, rel=1e-5)


def test_training_it_aligns_two_warped_videos():
    torch.manual_seed(3)
    times = torch.linspace(0, 1, 20), torch.linspace(0, 1, 16) ** 1.5
    bumps = (torch.exp(-(((t[:, None] - torch.linspace(0, 1, 32)) / 0.06) ** 2) / 2) for t in times)
    z_u, z_v = (torch.nn.functional.normalize(z, dim=1) + 0.3 * torch.randn(len(z), 32) for z in bumps)
    truth = (times[0][:, None] - times[1]).abs().argmin(1)

    def right():
        nearest = torch.cosine_similarity(z_u[:, None], z_v[None], dim=-1).argmax(1)
        return ((nearest - truth).abs() <= 1).float().mean()

    assert right() < 0.6
    optimizer = torch.optim.Adam([z_u.requires_grad_(), z_v.requires_grad_()], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        gta_loss(z_u[None], z_v[None], torch.tensor([[20, 16]]))["loss"].backward()
        optimizer.step()
    assert right() > 0.8


@pytest.mark.parametrize("option", [{"tau": 0.0}, {"temperature": -1.0}, {"smoothing": 1.0}])
def test_errors(views, option):
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        gta_loss(*views, **option)
