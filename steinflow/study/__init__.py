"""The study: the paper's whole investigation, against exact truth."""

from steinflow.study.conditions import StudyConfig
from steinflow.study.run import run
from steinflow.study.store import StudyError

__all__ = ["StudyConfig", "StudyError", "run"]
