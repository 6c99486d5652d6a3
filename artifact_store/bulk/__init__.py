"""Bulk work: the same question about many runs, asked in many processes, and answered once each."""
