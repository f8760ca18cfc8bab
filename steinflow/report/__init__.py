"""How pages and figures look: those of studies, diagnoses, runs and the explorer alike."""
