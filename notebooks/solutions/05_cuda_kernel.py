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
def longest(shared_bytes, number_bytes, threads, backward):
    """A row has 3 states on 3 diagonals and, backward, triples for 3 neighbours on 3 diagonals."""
    for_each_row = 3 * 3 + (3 * 3 * 3 if backward else 0)
    return (shared_bytes // number_bytes - 2 * threads) // for_each_row


# %% exercise 4
# The same shape as block_kernel: strided loop over the diagonal, one barrier after it.
@cuda.jit
def dtw_kernel(C, T):
    b, n, m = cuda.blockIdx.x, C.shape[1], C.shape[2]
    for d in range(n + m - 1):
        for i in range(max(0, d - m + 1) + cuda.threadIdx.x, min(n - 1, d) + 1, cuda.blockDim.x):
            j = d - i
            before = 0.0 if d == 0 else inf
            if i > 0 and j > 0:
                before = T[b, i - 1, j - 1]
            if i > 0:
                before = min(before, T[b, i - 1, j])
            if j > 0:
                before = min(before, T[b, i, j - 1])
            T[b, i, j] = C[b, i, j] + before
        cuda.syncthreads()
