"""The battery carbon chain's protocol: carbon footprints that prove themselves.

Bytes go in, facts come out. Nothing here opens a file, a socket or a clock; `__main__` alone,
the command `bcca-verify`, touches a disk.
"""

__version__ = "0.5.0"
