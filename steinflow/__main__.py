"""`python -m steinflow`."""

from steinflow.cli import main

raise SystemExit(main())
