"""Header cards of some kinds.

- `names`: names of frames.
- `numbers`: numbers, also in quotes.
- `texts`: texts.
- `wcs_keywords`: which keywords describe world coordinates.
"""
