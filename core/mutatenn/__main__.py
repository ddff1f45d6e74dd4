"""Lets ``python -m mutatenn`` be the command line."""

from __future__ import annotations

import sys

from mutatenn.cli.main import main

sys.exit(main())
