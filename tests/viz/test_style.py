import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch

from lacbook.viz.style import as_array, as_path, phase_colors, similarity_colors, theme, use_theme


@pytest.mark.parametrize("K", [1, 2, 3, 6, 11, 14])
def test_phase_colors_are_distinct_and_grey_outside_the_action(K):
    colors = phase_colors(K)
    assert colors.shape == (K, 3)
    assert len(np.unique(colors, axis=0)) == K
    grey = np.ptp(colors, axis=1) < 1e-9
    assert grey[0]
    assert grey[-1]
    assert not grey[1:-1].any()


def test_a_phase_keeps_its_color():
    np.testing.assert_array_equal(phase_colors(4)[1:3], phase_colors(9)[1:3])
    with pytest.raises(ValueError, match="K must be"):
        phase_colors(0)


def test_zero_is_the_middle_of_the_similarity_colors():
    _, norm = similarity_colors(np.array([[-2.0, 0.1], [-np.inf, 0.0]]))
    assert norm(0.0) == pytest.approx(0.5)
    assert norm.vmin == -2.0
    assert norm.vmax == pytest.approx(2 / 3)  # a tiny positive value stays pale
    assert similarity_colors(np.full((2, 2), -np.inf))[1](0.0) == pytest.approx(0.5)


def test_theme_is_applied_only_on_demand():
    before = mpl.rcParams["axes.spines.top"]
    with theme():
        assert mpl.rcParams["axes.spines.top"] is False
    assert mpl.rcParams["axes.spines.top"] is before is True
    use_theme()
    assert mpl.rcParams["axes.spines.top"] is False


def test_photos_are_kept_as_jpeg(monkeypatch):
    inline = pytest.importorskip("matplotlib_inline.backend_inline")
    asked = []
    monkeypatch.setattr(inline, "set_matplotlib_formats", lambda *formats, **_: asked.extend(formats))
    use_theme()
    assert asked == []
    use_theme(photos=True)
    assert asked == ["jpeg"]


def test_import_changes_nothing_and_needs_no_ipywidgets():
    code = (
        "import sys, matplotlib as mpl; sys.modules['ipywidgets'] = None;"
        "before = dict(mpl.rcParams.copy()); import lacbook.viz;"
        "assert dict(mpl.rcParams.copy()) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_as_array_takes_bfloat16():
    np.testing.assert_array_equal(as_array(torch.full((2,), 0.5, dtype=torch.bfloat16)), [0.5, 0.5])


def test_as_array_takes_tensors_that_require_gradients():
    np.testing.assert_array_equal(as_array(torch.ones(2, 2, requires_grad=True)), np.ones((2, 2)))


@pytest.mark.parametrize(
    ("path", "message"),
    [([(0, 0), (3, 1)], "leaves the 3 x 4"), ([(-1, 0)], "leaves"), ([(1, 1), (0, 2)], "backwards")],
)
def test_bad_paths_are_refused(path, message):
    with pytest.raises(ValueError, match=message):
        as_path(path, 3, 4)
    assert as_path([], 3, 4).shape == (0, 2)
