"""Solutions of notebook 02: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's

# %% exercise 1
# 4 + 0.5 (L - 1) < L from L = 8 on.
affine = (4.0, 0.5, 8)


# %% exercise 2
def gaps(path):
    openings = extensions = 0
    for (i, j), (p, r) in pairwise(path):
        for skipped in (p - i - 1, r - j - 1):
            openings += skipped > 0
            extensions += max(skipped - 1, 0)
    return openings, extensions


# %% exercise 3
@njit
def score(S, go, ge):
    N, M = S.shape
    V = -np.inf
    D, Ix, Iy = np.full(M + 1, -np.inf), np.full(M + 1, -np.inf), np.full(M + 1, -np.inf)
    for i in range(N):
        before = -np.inf  # the best of row i - 1, column j - 1, which the row below is about to overwrite
        for j in range(1, M + 1):
            above = max(D[j], Ix[j], Iy[j])
            Iy[j] = max(D[j] - go, Ix[j] - go, Iy[j] - ge)
            D[j] = S[i, j - 1] + max(0.0, before)
            Ix[j] = max(D[j - 1] - go, Ix[j - 1] - ge) if j > 1 else -np.inf
            before = above
            V = max(V, D[j])
    return V
