"""Every guard that `faults.guards` takes out of a server is still where it was."""

from __future__ import annotations

import os
import subprocess
import sys

from faults.guards import NEEDS
from faults.unguarded import GUARDS
from support import forks


def test_each_guard_has_the_faults_under_which_it_is_needed() -> None:
    assert NEEDS.keys() == GUARDS.keys()


def test_every_guard_can_be_taken_out() -> None:
    # In a process of its own: what is taken out stays out.
    script = "from faults.unguarded import GUARDS\nfor take_out in GUARDS.values(): take_out()"
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | forks.on_path())
