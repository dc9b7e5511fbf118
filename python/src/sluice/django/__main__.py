"""`python -m sluice.django move STORE`: makes a store of a site's database, while the site is stopped."""

import sys

from sluice.django import move

if __name__ == "__main__":
    sys.exit(move.main(sys.argv[1:]))
