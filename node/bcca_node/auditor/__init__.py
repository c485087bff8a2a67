"""What an auditor does who trusts nobody: read a whole log, and compare it with all that is known.

It works on a log at a URL, in a folder or in a node, and needs no node itself.
"""
