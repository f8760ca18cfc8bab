"""The study: the paper's whole investigation, against exact truth."""

from steinflow.extras import extras_named
from steinflow.io.files import StudyError
from steinflow.study.conditions import StudyConfig

with extras_named():
    from steinflow.study.run import run

__all__ = ["StudyConfig", "StudyError", "run"]
