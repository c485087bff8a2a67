"""What a supplier does: bring in its own inventories, as drafts to be published."""
