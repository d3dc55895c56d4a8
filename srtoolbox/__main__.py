"""`python -m srtoolbox COMMAND ...`, the same as the console script."""

from srtoolbox.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
