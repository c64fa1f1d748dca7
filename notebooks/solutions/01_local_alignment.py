"""Solutions of notebook 01: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's

# %% exercise 1
by_hand = [[2, 1, 0], [1, 0, 2], [0, 0, 3]]


# %% exercise 2
# Column 0 charges for skipped frames of A, row 0 is free; there is no 0 among the ways; the score is the best
# of the last row, since all of A has been used there and the rest of B is free.
def fit(S, gap):
    N, M = S.shape
    F = np.zeros((N + 1, M + 1))
    F[:, 0] = -gap * np.arange(N + 1)
    for i in range(N):
        for j in range(M):
            F[i + 1, j + 1] = max(F[i, j] + S[i, j], F[i, j + 1] - gap, F[i + 1, j] - gap)
    return F[-1].max()


# %% exercise 3
# The cheap alignment has more matches, each of which earns something now, and pays for the frames it skips.
lowest = min(g for g in range(1, 21) if all(is_path(k) for k in range(g, 21)))
