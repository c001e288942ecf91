"""``python -m gpustack``: the command line where its script is not on PATH."""

from gpustack.cli import main

if __name__ == "__main__":
    main()
