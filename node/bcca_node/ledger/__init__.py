"""This node's log: its keys, what it enters, who witnesses it, and what it witnesses."""
