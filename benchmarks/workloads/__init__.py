"""What is measured, a module for each kind of work. Each function takes a place and sizes, and returns a ``Work``."""
