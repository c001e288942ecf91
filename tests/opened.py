"""Open frames and look at them, in one call each."""

from gpustack.frames import open_frames


def one(item, **options):
    """The frame of one image."""
    (frame,) = open_frames([item], **options)
    return frame


def values(frames):
    """The first sample of each frame."""
    return [int(frame.whole()[0, 0]) for frame in frames]
