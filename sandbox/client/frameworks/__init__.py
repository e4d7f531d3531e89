"""How do frameworks take our tools? One module a framework, which alone imports it; see `OfferedTool`."""
