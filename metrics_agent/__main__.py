"""`python -m metrics_agent` is the command `metrics-agent`."""

import sys

from metrics_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
