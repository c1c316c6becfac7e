"""``python -m gomachinery_py`` is ``gomachinery``."""

from gomachinery_py.cli import main

if __name__ == "__main__":
    main()
