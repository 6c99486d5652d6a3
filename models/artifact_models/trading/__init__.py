"""A small trading toolkit around the families: candles, a walk-forward training, and a trader on paper."""
