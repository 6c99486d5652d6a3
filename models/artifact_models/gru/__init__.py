"""The GRU family: a network on windows of rows, its trainer, and its adapter."""
