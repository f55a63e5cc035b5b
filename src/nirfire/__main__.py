"""``python -m nirfire``: the command without its script."""

from nirfire.cli import main

if __name__ == "__main__":
    main()
