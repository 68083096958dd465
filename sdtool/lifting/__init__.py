"""Lifting: the phases, the scenes that they optimise, the guidance of the two priors, and the one loop."""
