"""The gRPC door: the only room, with the client, that knows gRPC."""
