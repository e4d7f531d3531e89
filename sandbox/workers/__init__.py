"""How do several processes serve one deployment? A parent holds the port and the lock, workers serve."""
