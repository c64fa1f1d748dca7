import pytest


@pytest.fixture(params=["recursion", "numba"])
def backend(request):
    return request.param


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Every test here."""
