"""Produces orders with confluent-kafka's own serializers: schemas.py BROKER REGISTRY FORMAT FORM FIRST COUNT.

FORMAT is avro, json, protobuf or protobuf-text, and the topic. FORM is prefix (the schema's id before the
value) or header (its GUID in a header).
"""

import datetime
import decimal
import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    header_schema_id_serializer,
    prefix_schema_id_serializer,
)
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# With a union, logical types, and a type of another subject.
AVRO = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "customer", "type": ["null", "string"], "default": None},
        {"name": "amount_cents", "type": "int"},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "lines", "type": {"type": "array", "items": "shop.Line"}},
        {"name": "tags", "type": {"type": "map", "values": "double"}},
    ],
}

JSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "customer": {"type": "string"},
        "amount_cents": {"type": "integer", "minimum": 0},
    },
    "required": ["id", "customer", "amount_cents"],
}


def of_avro(number):
    return {
        "id": number,
        "customer": "ann",
        "amount_cents": 5,
        "placed": datetime.datetime(2026, 12, 1, tzinfo=datetime.timezone.utc),
        "price": decimal.Decimal("12.34"),
        "lines": [{"sku": "a", "count": 2}],
        "tags": {"weight": 0.5},
    }


def of_json(number):
    return {"id": number, "customer": "ann", "amount_cents": 5}


def order_class():
    """The message that protoc would make a class of; it is the second of its file."""
    file = descriptor_pb2.FileDescriptorProto(name="orders.proto", package="shop", syntax="proto3")
    file.message_type.add(name="Ping")
    message = file.message_type.add(name="Order")
    kinds = descriptor_pb2.FieldDescriptorProto
    for number, (name, kind) in enumerate(
        [("id", kinds.TYPE_UINT32), ("customer", kinds.TYPE_STRING), ("amount_cents", kinds.TYPE_INT32)], 1
    ):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL, json_name=name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def serializer(kind, client, conf):
    if kind == "avro":
        line = SchemaReference("shop.Line", "shop.Line-value", 1)
        schema = Schema(json.dumps(AVRO), "AVRO", [line])
        return AvroSerializer(client, schema, conf=conf), of_avro
    if kind == "json":
        return JSONSerializer(json.dumps(JSON), client, conf=conf), of_json
    order = order_class()
    conf = {**conf, "use.deprecated.format": False}
    return ProtobufSerializer(order, client, conf), lambda number: order(**of_json(number))


def main(broker, registry, kind, form, first, count):
    client = SchemaRegistryClient({"url": registry})
    forms = {"prefix": prefix_schema_id_serializer, "header": header_schema_id_serializer}
    write, make = serializer(kind, client, {"schema.id.serializer": forms[form]})
    producer = Producer({"bootstrap.servers": broker})
    for number in range(int(first), int(first) + int(count)):
        headers = []
        value = write(make(number), SerializationContext(kind, MessageField.VALUE, headers))
        producer.produce(kind, value, headers=headers)
    if producer.flush(60) > 0:
        sys.exit("not all are there")


main(*sys.argv[1:])
