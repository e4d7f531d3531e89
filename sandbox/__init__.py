"""Confine, execute and prove the tool calls a language model proposes."""
