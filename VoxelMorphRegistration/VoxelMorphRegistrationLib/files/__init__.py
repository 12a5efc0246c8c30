"""Every file format, read with checks and written whole or not at all."""
