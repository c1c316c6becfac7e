"""``python -m gomachinery_py`` is ``gomachinery``."""

import sys

from gomachinery_py.cli import main

if __name__ == "__main__":
    # The key of a periodic task's lock begins with the program's name: it has to be one for both.
    sys.argv[0] = "gomachinery"
    main()
