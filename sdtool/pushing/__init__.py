"""AGPs for others: what of a folder goes to a model hub, its page there, and the upload."""
