"""How a model file is refused."""

import pytest

from sdtool.errors import ObjectError
from sdtool.meshfiles import load_mesh


def refused(path):
    """(reason, message) of the ObjectError that reading `path` raises."""
    with pytest.raises(ObjectError) as caught:
        load_mesh(path)
    assert str(path) in str(caught.value)
    return caught.value.reason, str(caught.value)
