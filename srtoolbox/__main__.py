"""`python -m srtoolbox COMMAND ...`, the same as the console script."""

from srtoolbox.cli import main

raise SystemExit(main())
