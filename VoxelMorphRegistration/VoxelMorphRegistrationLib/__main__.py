import sys

from .cli.main import start

sys.exit(start())
