"""Find out what is wrong with a store and its environment, and repair what is safe to repair."""
