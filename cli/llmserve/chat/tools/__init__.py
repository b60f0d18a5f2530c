"""Tools that a model may call: those of MCP servers, and functions of a Python file."""
