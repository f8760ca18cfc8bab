"""Preset `prior`: a Boltzmann policy with the data's policy beside Q and without, against truth."""
