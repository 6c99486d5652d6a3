"""Bulk work on the clusters that people have, while their workers and their drivers are killed."""
