"""Solutions of notebook 00: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's

# %% exercise 1
matched = {i for i, _ in paths[0]}
skipped = [i for i in range(min(matched), max(matched)) if i not in matched]

# %% exercise 2
# Raise the margin in small steps; what is left of the path is where the two are most alike. To see which part
# of the squat that is, look up a.phase at its frames.
for extra in np.arange(0, 1, 0.01):
    if len(smith_waterman(similarity - extra, gap_open, gap_extend).path()) <= len(path) / 2:
        break
