"""The MCP door: the Model Context Protocol, revisions 2026-07-28 and 2025-11-25, through its own SDK."""
