"""Is a model consistent from every side? Measures, their calibration on known toys, and the report."""
