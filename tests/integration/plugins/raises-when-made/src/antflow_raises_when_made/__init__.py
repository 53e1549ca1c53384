"""Cannot be made without what nobody gives it."""


class Plugin:
    def __init__(self) -> None:
        raise LookupError("no account")
