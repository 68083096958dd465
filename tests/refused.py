"""How a model file is refused."""

import pytest

from sdtool.errors import ObjectError
from sdtool.meshfiles import load_mesh


def refused(path, read=load_mesh, **options):
    """(reason, message) of the ObjectError that reading `path` raises."""
    with pytest.raises(ObjectError) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.reason, str(caught.value)


def reason_of(path, **options):
    """The same without the message."""
    return refused(path, **options)[0]
