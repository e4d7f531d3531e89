"""The HTTP door: MCP over Streamable HTTP and Connect/JSON, behind the same mutual TLS as gRPC."""
