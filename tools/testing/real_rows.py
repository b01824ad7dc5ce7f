"""Rows that the original itself wrote, where there are any: FSHARECHAT_ORIGINAL_FIXTURE names their folder."""

import os

FOLDER = os.environ.pop("FSHARECHAT_ORIGINAL_FIXTURE", "")
"""Taken out of the environment: a server would take it for a setting that it does not know."""
