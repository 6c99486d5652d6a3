"""Agents that trade: the environment, its trainer, and the adapter that saves and loads what it trains."""
