import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def headless():
    with mpl.rc_context():
        plt.switch_backend("Agg")
        yield
    plt.close("all")


def _coded(length, height=20, width=30):
    """Video whose pixels are the number of the frame."""
    numbers = np.arange(length, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(numbers, (length, height, width, 3)).copy()


@pytest.fixture
def coded():
    return _coded


@pytest.fixture
def videos():
    """Two videos of different sizes and the matches between them: B skips 8 and 9, A skips 6."""
    return _coded(12), _coded(15, 24, 16), [(3, 5), (4, 6), (5, 7), (7, 10), (8, 11)]
