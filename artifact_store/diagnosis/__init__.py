"""Find out what is wrong with a store and with the place where it is, and put right what is safe to put right."""
