"""A plugin whose constructor raises."""


class Plugin:
    def __init__(self) -> None:
        raise LookupError("no account")
