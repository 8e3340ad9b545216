"""Labeled images and tables: from files, folders and names to arrays on the host."""
