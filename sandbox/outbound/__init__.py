"""How does the service ask another one over HTTP? At a checked address, bounded in every way; it knows no tool."""
