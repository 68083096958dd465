"""How many bytes of tensors live at once while something runs: exact, the same on every machine."""

from sdtool.training import memory


class LiveBytes(memory.LiveBytes):
    """As trainings count them, and what operators are given besides: what was there before, or came of numpy.
    `now` is what lives after each operator."""

    def __torch_dispatch__(self, *call):
        out = super().__torch_dispatch__(*call)
        self.count()
        return out

    def _add(self, tensors, is_new):
        super()._add(tensors, True)

    def forget(self):
        """Begin a new peak at what lives now."""
        self.peak = self.count()
