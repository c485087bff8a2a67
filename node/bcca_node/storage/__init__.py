"""What a node keeps: tables, and the only place that opens a session or writes SQL."""
