"""What runs on this machine."""
import pathlib


def sleepers(seconds):
    """The processes `sleep SECONDS`; take a number that nobody else takes."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if b"sleep\0%d\0" % seconds in path.read_bytes() else []
        except OSError:
            pass
    return found
