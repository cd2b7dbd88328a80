"""`python -m bulksync` is `bulksync`."""

from bulksync.cli import main

if __name__ == "__main__":
    main()
