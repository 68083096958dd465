"""Captions of objects: from the words their artists gave them, or by models that look at them."""
