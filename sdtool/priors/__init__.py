"""Base priors (any diffusers folder) and the aligned geometric prior: one contract, loading, sampling."""
