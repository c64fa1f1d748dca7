"""Solutions of notebook 06: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's


# %% exercise 1
# Draw until a pair will do. That keeps the views random, and it ends as long as such pairs are not too rare.
def overlapping_views(length, view_length, share, rng):
    while True:
        u, v = two_views(length, view_length, rng)
        if np.intersect1d(u, v).size >= share * len(u):
            return u, v


# %% exercise 2
# Between two events the tempo is taken to be even. It is not quite, hence the part of a frame that is left.
def same_moment(a, b, i):
    return np.interp(i, a.events, b.events)


# %% exercise 3
# Multiplying by the mask would not do: 0 * NaN is NaN.
def masked_mean(values, lengths):
    mask = torch.arange(values.shape[1]) < lengths[:, None]
    mask = mask.reshape(*mask.shape, *[1] * (values.ndim - 2))
    summed = torch.where(mask, values, 0).sum(dim=1)
    return summed / lengths.reshape(-1, *[1] * (values.ndim - 2))


# %% exercise 4
# Flip x, then give every joint the name of the other side. Twice, it is the same person again.
def mirror_person(joints):
    other = {"r_": "l_", "l_": "r_"}
    source = [JOINTS.index(other.get(name[:2], name[:2]) + name[2:]) for name in JOINTS]
    return joints[:, source] * [-1, 1]
