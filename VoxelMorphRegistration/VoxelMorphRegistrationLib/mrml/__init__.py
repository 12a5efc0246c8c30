"""The MRML scene's edge of the library: the only rooms that import `slicer`, and so only inside Slicer or
slicer-core.
"""
