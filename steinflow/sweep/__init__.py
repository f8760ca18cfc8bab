"""`steinflow sweep`: a command over lists of options and seeds, on any executor."""
