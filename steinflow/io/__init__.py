"""Files that are whole or not there, and the progress of long work."""
