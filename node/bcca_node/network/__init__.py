"""How one node asks another: whom, for how much, for how long, and what it may answer."""
