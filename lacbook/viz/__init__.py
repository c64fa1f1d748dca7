"""Figures of the course. What draws one plot takes ``ax`` and returns it; sliders: `lacbook.viz.widgets`."""

from .comparison import plot_comparison
from .curves import live_learning_curves, plot_learning_curves, plot_metrics
from .frames import plot_alignment, plot_matched_frames, side_by_side
from .grids import PUPPET_EDGES, plot_frame_grid, plot_poses
from .style import phase_colors, use_theme
from .tables import plot_posterior, plot_similarity, plot_table

__all__ = [
    "PUPPET_EDGES",
    "live_learning_curves",
    "phase_colors",
    "plot_alignment",
    "plot_comparison",
    "plot_frame_grid",
    "plot_learning_curves",
    "plot_matched_frames",
    "plot_metrics",
    "plot_poses",
    "plot_posterior",
    "plot_similarity",
    "plot_table",
    "side_by_side",
    "use_theme",
]
