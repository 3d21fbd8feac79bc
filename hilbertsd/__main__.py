"""``python -m hilbertsd`` is the command ``hilbertsd``."""

from hilbertsd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
