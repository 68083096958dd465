"""How many bytes of tensors live at once while something runs: exact, the same on every machine."""

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """While it lasts, follows the storages that operators give or take; `now` and `peak` in bytes.

    What an operator holds only while it runs is not seen.
    """

    def __init__(self):
        super().__init__()
        self.live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, out)):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.live.setdefault(reference.cdata, (reference, storage.nbytes()))
        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        self.now = sum(size for _, size in self.live.values())
        self.peak = max(self.peak, self.now)
        return out

    def forget(self):
        """Begin a new peak at what lives now."""
        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        self.peak = self.now = sum(size for _, size in self.live.values())
