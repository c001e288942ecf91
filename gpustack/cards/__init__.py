"""Header cards of some kinds: of coordinates, with numbers, and with names of frames."""
