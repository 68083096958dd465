"""Which way objects face: from a table that others made, from a model, or from the AGP itself."""
