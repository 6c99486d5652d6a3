"""The engine for a folder of this machine: files, folders, locks, and what the place is like."""
