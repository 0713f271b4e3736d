"""Our protocol files against the descriptors that stock clients ship: every number, type and label must be the same.

Needs no server. A message or field that an older pymilvus does not know yet is compared where it is known.
"""

import importlib.metadata
import re
from pathlib import Path

import grpc_tools
import pymilvus
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from helpers import VERSION
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

REPO = Path(__file__).resolve().parents[3]
PROTO = REPO / "proto" / "milvus"
SERVICE = "milvus.proto.milvus.MilvusService"
THEIRS = {"common": common_pb2, "schema": schema_pb2, "milvus": milvus_pb2}
NEWEST = (3, 0)
"""The client that knows everything we declare."""

Field = descriptor_pb2.FieldDescriptorProto


def declarations(files):
    """Fully named declarations of some files: messages, enums, methods -> {name: {member: facts}}."""
    found = {}
    for file in files:
        assert file.syntax == "proto3"
        for message in file.message_type:
            add_message(found, file.package, message)
        for enum in file.enum_type:
            add_enum(found, file.package, enum)
        for service in file.service:
            found[f"{file.package}.{service.name}"] = {
                method.name: (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
                for method in service.method}
    return found


def add_message(found, scope, message):
    name = f"{scope}.{message.name}"
    found[name] = {field.name: field_facts(message, field) for field in message.field}
    for nested in message.nested_type:
        add_message(found, name, nested)
    for enum in message.enum_type:
        add_enum(found, name, enum)


def add_enum(found, scope, enum):
    found[f"{scope}.{enum.name}"] = {value.name: value.number for value in enum.value}


def field_facts(message, field):
    """A field may join a oneof later, which changes nothing on the wire: only the newest client tells about those."""
    oneof = ""
    if VERSION >= NEWEST and field.HasField("oneof_index"):
        oneof = message.oneof_decl[field.oneof_index].name
    packed = field.options.packed if field.options.HasField("packed") else "default"
    return (field.number, Field.Type.Name(field.type), field.type_name, Field.Label.Name(field.label), oneof, packed)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    out = tmp_path_factory.mktemp("descriptors") / "ours.bin"
    include = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.name) for path in PROTO.glob("*.proto"))
    status = protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", f"--descriptor_set_out={out}", *files])
    assert status == 0, "our protocol files do not compile"
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    packages = {f"milvus.proto.{name}" for name in THEIRS}
    return declarations([file for file in compiled if file.package in packages])


@pytest.fixture(scope="module")
def theirs():
    files = []
    for module in THEIRS.values():
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return declarations(files)


def test_every_declaration_is_the_clients(ours, theirs):
    assert len(ours) > 100
    wrong = [f"{name}.{member}: ours {facts}, theirs {theirs[name][member]}"
             for name, members in ours.items() if name in theirs
             for member, facts in members.items()
             if member in theirs[name] and theirs[name][member] != facts]
    assert not wrong, "\n".join(wrong)


def test_no_number_means_two_things(ours, theirs):
    """A field of ours under a number that the client uses for a field of another name."""
    wrong = []
    for name in ours.keys() & theirs.keys():
        known = {number_of(facts): member for member, facts in theirs[name].items()}
        for member, facts in ours[name].items():
            other = known.get(number_of(facts), member)
            if other != member and member not in theirs[name] and number_of(facts) is not None:
                wrong.append(f"{name}: {number_of(facts)} is {member} here and {other} in the client")
    assert not wrong, "\n".join(wrong)


def number_of(facts):
    """Number of a field or enum value; methods have none."""
    if isinstance(facts, int):
        return facts
    return facts[0] if isinstance(facts[0], int) else None


def test_the_newest_client_knows_all_we_declare(ours, theirs):
    if VERSION < NEWEST:
        pytest.skip("only the newest client knows everything")
    unknown = [name for name in ours if name not in theirs]
    unknown += [f"{name}.{member}" for name in ours if name in theirs
                for member in ours[name] if member not in theirs[name]]
    assert not unknown, unknown


def test_every_call_of_the_old_client_has_its_messages(ours, theirs):
    """The number of calls is a tripwire: dropping one from our service is a decision, not an accident."""
    assert len(ours[SERVICE]) >= 50
    assert ours[SERVICE].keys() - theirs[SERVICE].keys() <= {
        "DescribeDatabase", "HybridSearch", "TruncateCollection"}, importlib.metadata.version("pymilvus")


def documented():
    """The table of calls in docs/compatibility.md: {call: (what is answered, [pymilvus releases])}."""
    text = (REPO / "docs" / "compatibility.md").read_text().split("\n## Every call\n")[1]
    rows = re.findall(r"^\| (\w+) \| (served|UNIMPLEMENTED) \| ([\d.]+) \| ([\d., ]*)\|$", text, re.MULTILINE)
    return {call: (here, clients.strip().split(", ")) for call, here, _, clients in rows}


def test_every_call_is_documented(ours, theirs):
    table = documented()
    assert theirs[SERVICE].keys() <= table.keys(), theirs[SERVICE].keys() - table.keys()
    served = {call for call, (here, _) in table.items() if here == "served"}
    assert served == ours[SERVICE].keys()


def test_the_calls_of_this_client_are_documented(theirs):
    release = importlib.metadata.version("pymilvus")
    source = "\n".join(path.read_text() for path in Path(pymilvus.__file__).parent.rglob("*.py")
                       if "grpc_gen" not in path.parts)
    called = {call for call in theirs[SERVICE] if re.search(rf"stub(\(\))?\.{call}\b", source)}
    assert called == {call for call, (_, clients) in documented().items() if release in clients}
