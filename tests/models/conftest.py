import pytest
import torch

pytest.register_assert_rewrite("tests.models.base", "models.base")  # the shared tester's failures show values


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """On busy cores two threads that wait for each other are ten times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
