"""The algorithms and statistics of stable-baselines3 as tensors and JSON."""
