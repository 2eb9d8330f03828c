"""`python -m mailer` is `mailer`."""

from mailer.cli.main import main

main()
