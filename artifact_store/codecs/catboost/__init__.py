"""CatBoost's models as its own binary file, which only CatBoost reads."""
