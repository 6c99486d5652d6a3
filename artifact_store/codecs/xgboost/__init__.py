"""XGBoost's models as its own UBJSON, checked before its reader sees it."""
