"""Solutions of notebook 07: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's


# %% exercise 1
def true_score(path, S, go, ge):
    score = sum(S[cell] for cell in path)
    for (i, j), (p, r) in pairwise(path):
        along_row = [(i, c) for c in range(j + 1, r)]
        down_column = [(k, r - 1) for k in range(i + 1, p)]
        for run in (along_row, down_column):
            score -= sum(go[cell] for cell in run[:1]) + sum(ge[cell] for cell in run[1:])
    return score


# %% exercise 2
# True minus expected, as for the openings; the mean is over the pairs with two matches or more.
def extend_slope(S, matches, sizes, go, ge, t):
    expected = soft_smith_waterman(S, go, ge, temperature=t, lengths=sizes).expected_gaps[1]
    true = gap_cells(matches)[1].sum((1, 2))
    size = matches.sum((1, 2))
    counts = size >= 2
    return ((true - expected) / (t * size))[counts].mean()


# %% exercise 3
# S falls by as much as the margin rises, so the derivative is (|A*| - expected matches) / (t |A*|). It is 0
# where the soft alignment expects as many matches as there are. They get fewer as the margin rises: bisect.
low, high = 0.0, 2.0
for _ in range(40):
    margin_at_rest = (low + high) / 2
    posterior = soft_smith_waterman(
        cosines["after"] - margin_at_rest, *penalties["after"], temperature=0.1
    ).posterior
    low, high = (margin_at_rest, high) if posterior.sum() > len(truth) else (low, margin_at_rest)


# %% exercise 4
# Neighbours of the segment stay on the path as long as they bring anything at all.
constant = next(c for c in np.arange(0, 5, 0.01) if path_without(c) == common)
