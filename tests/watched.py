"""Frames of which it is seen what is read."""


class Watched:
    """A frame that remembers which rows were read, in turn."""

    def __init__(self, frame):
        self.frame, self.rows = frame, []

    def __getattr__(self, name):
        return getattr(self.frame, name)

    def read(self, start, stop, into=None):
        assert start < stop
        self.rows += range(start, stop)
        return self.frame.read(start, stop, into)
