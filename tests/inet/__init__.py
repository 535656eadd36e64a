"""A small Internet in network namespaces, the way out against it, and oracles that judge what happened."""
