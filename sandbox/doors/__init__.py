"""Ways in. A door only translates between a transport and the pipeline; it decides nothing."""
