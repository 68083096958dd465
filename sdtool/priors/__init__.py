"""Base priors (any diffusers folder), the aligned geometric prior, and their training."""
