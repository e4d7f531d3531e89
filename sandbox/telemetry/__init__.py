"""What is the service doing? Events by ids and digests, never contents."""
