"""Base priors (any diffusers text-to-image folder), the aligned geometric prior, and their training."""
