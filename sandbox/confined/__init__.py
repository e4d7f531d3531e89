"""What runs in processes of its own? Code that imports nothing of the service, and holds no key and no connection."""
