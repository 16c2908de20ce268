"""The rule sets, the same for every server, in nobody's terms yet. None of it matches what is sent."""


class Rules:
    """How many of what; `times` multiplies networks and patterns."""

    def __init__(self, times):
        self.times = times

    def senders(self):
        return [f"user{i}@blocked{i % 1000}.example" for i in range(100_000)]

    def networks(self):
        """The last is one that a check can come from."""
        return [f"10.{i // 256 % 256}.{i % 256}.0/24" for i in range(1_000 * self.times - 1)] + ["127.9.9.0/24"]

    def headers(self):
        """Regular expressions on the subject."""
        return [f"cheap word{i} [a-z]+ offer" for i in range(200 * self.times)]

    def bodies(self):
        """Regular expressions on the text."""
        return [f"wire{i} the [a-z]+ amount" for i in range(100 * self.times)]

    def copies(self):
        """Whose mail is copied to whom."""
        return [(f"boss{i}@example.com", f"archive{i}@example.net") for i in range(1_000)]

    def aliases(self):
        return [(f"team{i}@example.com", f"member{i}@example.net") for i in range(1_000)]


SETS = {"bare": None, "rules": Rules(1), "tenfold": Rules(10)}
