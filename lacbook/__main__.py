"""`python -m lacbook` is the `lacbook` command."""

from lacbook.cli import main

main()
