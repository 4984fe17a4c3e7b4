"""A component that handles one message at a time: `componentize-py -w handler componentize pelton_message`."""

from pelton import _component
from wit_world import exports
from wit_world.imports.types import Message

_function = _component.find("@handler")


class MessageHandler(exports.MessageHandler):
    def handle(self, message: Message) -> None:
        _component.handle(_function, message)
