"""``python -m xoe.cli``."""

from xoe.cli import main

main()
