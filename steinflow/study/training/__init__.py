"""Small policies trained without samples, and how far their own samples are from exact ones."""
