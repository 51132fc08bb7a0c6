"""`python -m downhaul` is the program `downhaul`."""

import sys

from ._program import main

sys.exit(main())
