"""How long and how much this node takes from another, each limit with its reason."""

from dataclasses import dataclass

from bcca_protocol.limits import MAX_STATEMENT_BYTES

MAX_REDIRECTS = 3  # a moved host, its new scheme, its new path
MAX_URL_CHARS = 2_000  # what every server of use accepts
MAX_CONNECTIONS = 64  # open at once, to all together
MAX_CONNECTIONS_TO_ONE = 16  # five times the requests of one connection, and nobody is flooded

MAX_DESCRIPTOR_BYTES = 1024 * 1024  # 4,096 keys, or 5,000 peers
MAX_LINE_BYTES = MAX_STATEMENT_BYTES * 4 // 3 + 1_024  # an envelope in base64, and its names
MAX_BATCH = 1_000  # commitments in one request: 67 kB in, 17 MB of usual statements out
MAX_BATCH_BYTES = MAX_BATCH * 67 + 32
MAX_LOG_BYTES = 2 * 1024 * 1024 * 1024  # of one log's entries: 10,000,000 of 200 bytes
MAX_ANSWER_BYTES = 256 * 1024 * 1024  # held in memory whole: 15,000 usual statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How many seconds another node has."""

    connect: float = 5.0  # across the world and back ten times, and a lost packet
    read: float = 10.0  # between two pieces: a server that computes, not one that hangs
    total: float = 60.0  # for all of an answer: a trickle is no answer
    stream: float = 600.0  # for a stream of statements: 256 MB at half a megabyte a second
