"""A frame that records which of its rows are read."""


class Watched:
    """A wrapper of a frame that records the rows read, in order."""

    def __init__(self, frame):
        self.frame, self.rows = frame, []

    def __getattr__(self, name):
        return getattr(self.frame, name)

    def read(self, start, stop, into=None):
        assert start < stop
        self.rows += range(start, stop)
        return self.frame.read(start, stop, into)
