"""A `gantry` command that runs on while the test does something."""
import subprocess
import threading

from stack import environment


class Following:
    """A command that runs on while the test does something."""

    def __init__(self, stack, *words):
        env = dict(environment(), GANTRY_URL=f"http://127.0.0.1:{stack.ports['console']}", GANTRY_TOKEN=stack.token)
        self.process = subprocess.Popen([stack.bin / "gantry", *words], env=env, stdout=subprocess.PIPE, text=True)
        self.lines = []
        self.watchdog = threading.Timer(120, self.process.kill)
        self.watchdog.start()

    def until(self, *words):
        """Reads on to a line with any of `words`."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if any(w in line for w in words):
                return line
        raise AssertionError(f"it ended without {words}: {self.lines}")

    def end(self):
        """Its exit code, when the rest of what it says is read."""
        self.lines += self.process.stdout.read().splitlines()
        self.watchdog.cancel()
        return self.process.wait()

    def close(self):
        self.watchdog.cancel()
        self.process.kill()
        self.process.wait()
