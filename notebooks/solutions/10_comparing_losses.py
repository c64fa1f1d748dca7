"""Solutions of notebook 10: paste each part into the notebook's cell of the same name."""
# ruff: noqa: F821 - the names are the notebook's

# %% exercise 1
from itertools import product


def sign_flip(d):
    signs = np.array(list(product((-1, 1), repeat=len(d))))
    return np.mean(np.abs((signs * d).mean(axis=1)) >= abs(d.mean()) - 1e-12)


# %% exercise 2
# Each frame picks the frame of the other view that is nearest in time: SCL with a target of a single frame.
class MyLoss(torch.nn.Module):
    pairs = "two_views"

    def forward(self, z_u, z_v, steps_u, steps_v, lengths):
        frames = torch.arange(z_v.shape[1])
        losses = []
        for b, (n, m) in enumerate(lengths.tolist()):
            apart = (steps_u[b, :n, None] - steps_v[b, :m]).abs()
            logits = z_u[b, :n] @ z_v[b, :m].T / 0.1
            losses.append(cross_entropy(logits, frames[apart.argmin(1)]))
        return {"loss": torch.stack(losses).mean()}


# %% exercise 3
def holm(p):
    order = np.argsort(p)
    scaled = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected


if len(p):
    print(f"p below 0.05 against SCL: {(p < 0.05).sum()}, corrected: {(holm(p.to_numpy()) < 0.05).sum()}")


# %% exercise 4
# Free vectors that are nearly aligned have a cheap path already, frame by frame, and go down it. Those of an
# encoder move together, and the quickest way to make all paths cheap is to make all frames alike.
def mean_cosine(weight):
    encoder = trained_with(LAVLoss(weight=weight), epochs=2)
    z = [embed_values(encoder, clip.values) for clip in test]
    return float(np.mean([(x[:-20] * x[20:]).sum(1).mean() for x in z]))


for weight in (0.0, 0.02, 0.5):
    print(f"weight {weight}: mean cosine {mean_cosine(weight):.2f}")
