"""Processes that share a cache while they are killed and its files are damaged: no load ever gives a wrong byte."""
