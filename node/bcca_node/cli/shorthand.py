"""Groups of commands of which the usual one need not be named: `bcca inbox`, `bcca request X`."""

import typer
from typer.core import TyperGroup

_HELP = ("-h", "--help")
_WHAT = ("--part", "--product")


class ListByDefault(TyperGroup):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's own context is a subclass
        """Put `list` in front of options that stand alone."""
        if not args or (args[0].startswith("-") and args[0] not in _HELP):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class SendByDefault(ListByDefault):
    """A group that lists where nothing is named, and sends where a partner or a part is."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # same
        """Put `send` in front of what is no command."""
        names_part = any(each.partition("=")[0] in _WHAT for each in args)
        is_command = bool(args) and (args[0] in self.commands or args[0] in _HELP)
        if not is_command and args and (names_part or not args[0].startswith("-")):
            args = ["send", *args]
        return super().parse_args(ctx, args)
