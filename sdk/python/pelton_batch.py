"""A component that handles many messages at a time: `componentize-py -w batch componentize pelton_batch`."""

from pelton import _component
from wit_world import exports
from wit_world.imports.types import Message

_function = _component.find("@batch_handler")


class BatchHandler(exports.BatchHandler):
    def handle_batch(self, messages: list[Message]) -> list:
        return _component.handle_batch(_function, messages)
