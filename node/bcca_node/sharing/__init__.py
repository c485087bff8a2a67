"""What a node shows, and to whom: who asks, what they may see, and what is sealed for them."""
