"""The study: the paper's whole investigation, against exact truth."""

from steinflow.io.files import StudyError
from steinflow.study.conditions import StudyConfig
from steinflow.study.run import run

__all__ = ["StudyConfig", "StudyError", "run"]
