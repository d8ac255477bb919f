"""Training on a small backbone; checkpoints are not forced to the disk."""

import pytest

from tests.conftest import narrow_backbone


@pytest.fixture(autouse=True, scope="package")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        narrow_backbone(patch)
        yield
