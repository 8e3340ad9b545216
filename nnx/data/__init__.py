"""Labelled images: from files, folders and names to arrays on the host."""
