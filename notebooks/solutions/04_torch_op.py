"""Solutions of notebook 04: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's


# %% exercise 1
# All pairs use the same number, so its gradient is the sum over the pairs of what each of them would ask for,
# weighted with the upstream gradient of that pair. Summing first and multiplying then would be wrong.
def shared_gaps(g, openings, extensions):
    return -(g * openings).sum(), -(g * extensions).sum()


# %% exercise 2
# V is t log sum exp of (score of an alignment) / t, and a score is linear in S, go and ge. So the number c in
# V(c S, c go, c ge, c t) comes out in front: it is c V(S, go, ge, t). Differentiating both by c at 1 gives
# <S, posterior> - go openings - ge extensions + t dV/dt = V.
def temperature_gradient(S, go, ge, t, lengths):
    V, posterior, openings, extensions = soft_alignment(S, go, ge, t, lengths)
    matched = torch.where(posterior > 0, S * posterior, 0).sum((1, 2))
    return (V - matched + go * openings + ge * extensions) / t


# %% exercise 3
def gaps_fake(S, go, ge, t, lengths):
    return S.new_empty(len(S), 2)


# %% exercise 4
# The sum of a is exp(V / t), so it leaves float64 where V / t passes 709: near t = V / 709. V itself hardly
# depends on such a low temperature.
too_cold = 0.98 * linear_score(pairs[0].numpy(), 0.3, 0.1, 0.01) / 709.8
