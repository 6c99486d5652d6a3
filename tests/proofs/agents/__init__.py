"""Trained agents of other people, read without unpickling, and compared with what their own library makes of them."""
