"""Which rows does the demo show? Open data published by others; each folder says by whom in its `ORIGIN.md`."""
