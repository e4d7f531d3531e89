"""How fast is it? Ratios a stranger can reproduce: each bench makes its own deployment and measures a yardstick."""
