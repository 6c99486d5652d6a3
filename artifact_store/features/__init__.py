"""What a model was trained on: its inputs by name, and how another input comes to fit them."""
