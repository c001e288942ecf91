"""``python -m gpustack``: the command line, where its script is not on the path."""

from gpustack.cli import main

if __name__ == "__main__":
    main()
