"""Bulk jobs over folders, lists and archives of pictures, in one process or on Ray Data."""
