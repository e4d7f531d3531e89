"""Generated from protos/sandbox/v1 by scripts/generate. Do not edit."""
