"""The LightGBM family: boosted trees, their trainer, and their adapter."""
