"""LightGBM's models as its own text, checked before its parser sees it."""
