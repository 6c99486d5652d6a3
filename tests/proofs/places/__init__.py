"""Every place that a store is said to live in, started for real: what it promises, and what was seen."""
