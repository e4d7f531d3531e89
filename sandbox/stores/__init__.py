"""Where do records rest? One Protocol, and one file for each engine that can hold a log."""
