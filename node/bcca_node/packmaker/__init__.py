"""What a pack maker does: collect, verify, add up, explain, hand over."""
