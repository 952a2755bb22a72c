"""The commands: arguments, what they print, and the files that they read and write."""
