"""Header cards of some kinds.

- `names`: names of frames.
- `numbers`: numbers, also in quotes.
- `wcs_keywords`: which keywords describe world coordinates.
"""
