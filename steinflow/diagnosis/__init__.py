"""Diagnose a critic: which estimator it needs, and what its score targets are worth.

`sf.diagnose` is `steinflow.diagnosis.diagnose.diagnose`; nothing is imported here, so that
the command line stays quick.
"""
