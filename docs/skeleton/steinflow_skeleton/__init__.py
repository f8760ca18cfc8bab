"""One estimator for steinflow."""

# First, and here: importing steinflow loads level_blend.py, which must not be half loaded then.
import steinflow  # noqa: F401
