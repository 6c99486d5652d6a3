"""The engine for any fsspec filesystem, and what the S3 engine shares with it."""
