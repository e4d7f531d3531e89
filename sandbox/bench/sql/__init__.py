"""How many attacks does the gate stop, how many the engine, and what of honest SQL do they leave? `sandbox bench sql`."""
