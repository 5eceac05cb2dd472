# SPDX-License-Identifier: BSD-3-Clause
"""`program.py`, and then a process that stays whatever becomes of its socket."""

import runpy
import time
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("program.py")))
while True:
    time.sleep(1000)
