"""What `storage.calls` asks of its tables, in words that SQLite and PostgreSQL both know."""

from sqlalchemy import text

from bcca_node.storage.callwrite import Write, WriteMany

INSERT = Write(
    "INSERT INTO call_nonce (mark, created, known) SELECT :mark, :created, :known "
    "FROM call_store WHERE horizon < :created ON CONFLICT DO NOTHING"
)
HORIZON = text("SELECT horizon FROM call_store")
NEWEST = text(
    "SELECT MAX(created) FROM (SELECT created FROM call_nonce WHERE created <= :before "
    "ORDER BY created LIMIT :most) AS oldest"
)
RAISE = text("UPDATE call_store SET horizon = :newest WHERE horizon < :newest")
FORGET = text("DELETE FROM call_nonce WHERE created <= :newest")
COUNT = text("SELECT known, COUNT(*) FROM call_nonce GROUP BY known")
NOTE = WriteMany(
    "INSERT INTO call_fetch (day, origin, caller, commitment, how, product, first, last, times) "
    "VALUES (:day, :origin, :caller, :commitment, :how, :product, :at, :at, 1) "
    "ON CONFLICT (day, origin, caller, commitment, how) "
    "DO UPDATE SET last = excluded.last, times = call_fetch.times + 1",
    # Without WHERE, SQLite takes what follows for the condition of a join.
    "INSERT INTO call_fetch (day, origin, caller, commitment, how, product, first, last, times) "
    "SELECT :day, :origin, :caller, json_extract(value, '$[0]'), :how, json_extract(value, '$[1]'),"
    " :at, :at, 1 FROM json_each(:rows) WHERE true "
    "ON CONFLICT (day, origin, caller, commitment, how) "
    "DO UPDATE SET last = excluded.last, times = call_fetch.times + 1",
    ("commitment", "product"),
)
HOLD = text(
    "INSERT INTO call_holder (commitment, origin) VALUES (:commitment, :origin) "
    "ON CONFLICT DO NOTHING"
)
FETCHED = text(
    "SELECT origin, caller, commitment, product, how, first, last, times FROM call_fetch "
    "WHERE last >= :since AND (:origin = '' OR origin = :origin) "
    "AND (:product = '' OR product = :product) AND (:commitment = '' OR commitment = :commitment) "
    "ORDER BY last DESC, commitment, how LIMIT :limit"
)
UNHOLD = text("DELETE FROM call_holder WHERE origin = :origin")
HOLDERS = text("SELECT origin FROM call_holder WHERE commitment = :commitment ORDER BY origin")
