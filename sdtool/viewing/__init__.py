"""view: models and the history of lifts as one page that needs no network."""
