"""Numbers with their nouns, for people."""


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things: "1 drawing", "2,000 drawings". many: the plural, if not with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
