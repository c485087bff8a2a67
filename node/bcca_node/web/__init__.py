"""What a node serves: a route parses, calls one function, answers."""
