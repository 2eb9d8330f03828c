"""Other processes of this program."""

import os
import sys


def like_ours() -> dict[str, str]:
    """The environment in which `python -P -m mailer…` finds the modules that this process found, and none that lies in
    the folder it was started in."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109
