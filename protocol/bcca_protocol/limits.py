"""How much is read from a stranger, each limit with its reason (SPEC 12)."""

# Log
MAX_ENTRY_BYTES = 4_096  # an entry is a few hashes; the longest line, a stolen key's notice, is 300
MAX_LOG_ENTRIES = 10_000_000  # one statement a second for four months; read in 30 s, held in 3 GB
MAX_LOG_KEYS = 4_096  # a new key every week for 78 years; each costs its reader a curve point
MAX_TREE_SIZE = 2**63 - 1  # sizes are written in 64 bits elsewhere
MAX_PROOF_HASHES = 63  # enough for a tree of 2**63 entries (c2sp.org/tlog-witness)
MAX_CHECKPOINT_BYTES = 64 * 1024  # 100 signature lines of the largest algorithm in use fit
MAX_TLOG_PROOF_BYTES = 2 * 1024 * 1024  # a checkpoint, 63 hashes, and a statement as its extra
MAX_NOTE_SIGNATURES = 100  # the cap of Go's reader; C2SP asks for at least 16
MAX_ADD_CHECKPOINT_BYTES = MAX_CHECKPOINT_BYTES + 4_096  # with 63 hashes of 45 bytes before it
MAX_MISBEHAVIOUR_BYTES = 1024 * 1024  # two checkpoints, each character up to 4 bytes, and 64 hashes
MAX_ORIGIN_BYTES = 255  # c2sp.org/tlog-cosignature: a name is 1 to 255 bytes

# Statements
MAX_STATEMENT_BYTES = 1024 * 1024  # 500 lines of 1.5 kB, and a third to spare for base64
MAX_ENVELOPE_SIGNATURES = 100  # as in a note; each may cost a check against every key
MAX_LINES = 2_000  # activity and input lines of one statement
MAX_DIGITS = 34  # IEEE 754 decimal128
MAX_NUMBER_CHARS = 128  # a plain decimal with 34 digits between 1e-90 and 1e90
MAX_DECIMALS = 90  # of a result, behind the point: far below what anybody emits
MAX_TEXT_CHARS = 2_000  # any one name or reason
MAX_VALIDITY_YEARS = 3  # from the period's end, never longer (SPEC 4.4)
MAX_KEPT_FACTORS = 4_096  # a pack's tree uses hundreds of data sets; 2 kB each once parsed
MAX_KEPT_PERIODS = 1_024  # most statements of a pack's tree are about one year
MAX_KEPT_SUPPLIERS = 4_096  # a pack's tree has hundreds; 200 bytes each

# Policy
MAX_POLICY_BYTES = 1024 * 1024  # 1,000 logs of 200 bytes, five times over
MAX_POLICY_LINES = 4_096

# Bundle
MAX_BUNDLE_BYTES = 4 * 1024 * 1024 * 1024  # 100,000 statements of 40 kB
MAX_BUNDLE_LINE_BYTES = 1024 * 1024 * 1024  # a whole log is one line

# Roll-up
MAX_LOOP_UNKNOWNS = 400  # rational elimination is cubic: a loop of 400 takes about a minute
MAX_RULES_CHARS = 64 * 1024  # a rule set says what it says in a page or ten
MAX_RULES_ITEMS = 200  # of one list: fnmatch keeps 256 patterns, more are compiled each time

# Clocks
MAX_CLOCK_SKEW_SECONDS = 60  # a cosignature from further in the future is ignored (SPEC 6.1.3)
