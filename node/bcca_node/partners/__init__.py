"""Whom a node deals with: invitations, part numbers, requests for data, and telling each other."""
