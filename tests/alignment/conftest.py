import pytest
import torch


@pytest.fixture(params=["recursion", "numba"])
def backend(request):
    return request.param


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
