"""How many attacks do gate and engine stop, and what of honest SQL do they leave? `sandbox bench sql`."""
