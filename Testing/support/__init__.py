"""What several folders of tests use: small models and sequences, geometries, scenes, stand-ins."""
