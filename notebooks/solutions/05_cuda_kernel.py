"""Solutions of notebook 05: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's


# %% exercise 1
def turn_of(i, j, n, m, T):
    """The diagonals before come first; one of w cells takes w / T turns, rounded up."""

    def first(d):
        return max(0, d - m + 1)

    widths = [min(n - 1, d) - first(d) + 1 for d in range(i + j)]
    place = i - first(i + j)
    return place % T, sum(-(-w // T) for w in widths) + place // T


# %% exercise 2
# The alive threads are 0 to alive - 1. The lower half, rounded up, stays; where alive is odd, the last of it
# has no partner.
@cuda.jit(device=True)
def largest(value, room):
    me, alive = cuda.threadIdx.x, cuda.blockDim.x
    room[me] = value
    cuda.syncthreads()
    while alive > 1:
        half = (alive + 1) // 2
        if me + half < alive:
            room[me] = max(room[me], room[me + half])
        cuda.syncthreads()
        alive = half
    return room[0]


# %% exercise 3
# A skip in Y that comes from D opened a gap, one that comes from Ix extended it. A skip in X opened one if it
# comes from D or Ix.
@cuda.jit(device=True)
def leave_and_count(amounts, table, go, ge, t, i, j, g, gx, gy):
    leave(amounts, table, go, ge, t, i, j, g, gx, gy)
    D, Ix, _ = states(table, i, j - 1)
    wd, wx = shares2(D - go, Ix - ge, t)
    opened, extended = gx * wd, gx * wx
    D, Ix, Iy = states(table, i - 1, j)
    wd, wx, wy = shares3(D - go, Ix - go, Iy - ge, t)
    return opened + gy * (wd + wx), extended + gy * wy


# %% exercise 4
# The same shape as block_kernel: strided loop over the diagonal, one barrier after it.
@cuda.jit
def dtw_kernel(cost, C, who):
    b, n, m = cuda.blockIdx.x, C.shape[1], C.shape[2]
    for d in range(n + m - 1):
        for i in range(max(0, d - m + 1) + cuda.threadIdx.x, min(n - 1, d) + 1, cuda.blockDim.x):
            j = d - i
            before = 0.0 if d == 0 else inf
            if i > 0 and j > 0:
                before = C[b, i - 1, j - 1]
            if i > 0:
                before = min(before, C[b, i - 1, j])
            if j > 0:
                before = min(before, C[b, i, j - 1])
            C[b, i, j] = cost[b, i, j] + before
            who[b, i, j] = cuda.threadIdx.x
        cuda.syncthreads()
