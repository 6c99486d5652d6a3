"""Watched models while runs are published, some of them broken, and the server is killed."""
