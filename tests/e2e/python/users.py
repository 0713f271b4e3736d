"""Users, roles and grants with authorization on: the answers of Milvus 2.3.5, and their effect in the clients.

The answers below were recorded from the real server. `run.py --endpoint HOST:PORT --only pymilvus-2.3.7/users` compares
it again: start one with COMMON_SECURITY_AUTHORIZATIONENABLED=true.
"""

import base64
import contextlib
import time

import grpc
import pytest
from helpers import GRPC, SECONDS, VERSION, wait_until
from pymilvus import MilvusClient, MilvusException, Role, connections, utility
from pymilvus.grpc_gen import common_pb2, milvus_pb2_grpc
from pymilvus.grpc_gen import milvus_pb2 as pb

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT_PASSWORD = "Milvus"
NOT_THE_ROLE = "not found the role, maybe the role isn't existed or internal system error"
NOT_THE_USER = "not found the user, maybe the user isn't existed or internal system error"
EMPTY_ROLE = "role name should be not empty: invalid parameter[expected=not empty][actual=]"
OLDER = VERSION < (2, 4)
"""The client whose protocol files are those of the real server."""


def b64(text):
    return base64.b64encode(text.encode()).decode()


def token(user, password):
    return b64(f"{user}:{password}")


ROOT = token("root", ROOT_PASSWORD)


@pytest.fixture(scope="module")
def stub():
    with grpc.insecure_channel(GRPC) as channel:
        yield milvus_pb2_grpc.MilvusServiceStub(channel)


@pytest.fixture(autouse=True)
def clean(stub):
    """No user but root and no role but the default ones, before and after."""
    wipe(stub)
    yield
    wipe(stub)


def wipe(stub):
    meta = [("authorization", ROOT)]
    for user in stub.ListCredUsers(pb.ListCredUsersRequest(), metadata=meta).usernames:
        if user != "root":
            stub.DeleteCredential(pb.DeleteCredentialRequest(username=user), metadata=meta)
    for found in stub.SelectRole(pb.SelectRoleRequest(), metadata=meta).results:
        role = found.role.name
        if role in ("admin", "public"):
            continue
        for database in ("default", "db1", "*"):
            listed = stub.SelectGrant(pb.SelectGrantRequest(entity=pb.GrantEntity(role=found.role, db_name=database)),
                                      metadata=meta)
            for entity in listed.entities:
                stub.OperatePrivilege(pb.OperatePrivilegeRequest(entity=entity, type=pb.Revoke), metadata=meta)
        assert stub.DropRole(pb.DropRoleRequest(role_name=role), metadata=meta).code == 0


def call(stub, method, request, who=ROOT, **headers):
    meta = list(headers.items()) + ([("authorization", who)] if who is not None else [])
    return getattr(stub, method)(request, metadata=meta, timeout=SECONDS)


def status_of(answer):
    return answer if isinstance(answer, common_pb2.Status) else answer.status


def check(stub, method, request, code=0, error_code=0, reason="", who=ROOT):
    answer = call(stub, method, request, who)
    status = status_of(answer)
    assert (status.code, status.error_code, status.reason) == (code, error_code, reason), (method, request)
    assert not status.retriable
    return answer


def refused(stub, method, request, code, text, who, **headers):
    with pytest.raises(grpc.RpcError) as caught:
        call(stub, method, request, who, **headers)
    assert (caught.value.code(), caught.value.details()) == (code, text), (method, request)


def new_user(name, password):
    return pb.CreateCredentialRequest(username=name, password=b64(password))


def new_password(name, old, new):
    return pb.UpdateCredentialRequest(username=name, oldPassword=b64(old), newPassword=b64(new))


def new_role(name):
    return pb.CreateRoleRequest(entity=pb.RoleEntity(name=name))


def member(user, role, kind=0):
    return pb.OperateUserRoleRequest(username=user, role_name=role, type=kind)


def grant(role, kind, name, privilege, database="", operation=0):
    entity = pb.GrantEntity(role=pb.RoleEntity(name=role), object=pb.ObjectEntity(name=kind), object_name=name,
                            db_name=database,
                            grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)))
    return pb.OperatePrivilegeRequest(entity=entity, type=operation)


def test_credentials(stub):
    version = pb.GetVersionRequest()
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    wrong = "auth check failure, please check username and password are correct"
    for who, text in [(None, "missing authorization in header"), ("!!!", "invalid token format"),
                      ("root:Milvus", "invalid token format"), ("Bearer " + ROOT, "invalid token format"),
                      (b64("key"), "auth check failure, please check api key is correct"),
                      (token("root", "wrong12"), wrong), (token("nobody", "wrong12"), wrong)]:
        refused(stub, "GetVersion", version, unauthenticated, text, who)
    refused(stub, "CheckHealth", pb.CheckHealthRequest(), unauthenticated, "missing authorization in header", None)
    check(stub, "GetVersion", version)
    check(stub, "Connect", pb.ConnectRequest())


def test_users(stub):
    check(stub, "CreateCredential", new_user("u1", "secret1"))
    check(stub, "CreateCredential", new_user("u1", "secret1"), 65535, 29, "user already exists: u1")
    check(stub, "CreateCredential", new_user("", "secret1"), 1100, 5, "username must be not empty: invalid parameter")
    for password in ("", "short", "x" * 257):
        reason = f"invalid password length: invalid parameter[{len(password)} out of range 6 <= value <= 256]"
        check(stub, "CreateCredential", new_user("u2", password), 1100, 5, reason)
    bad = pb.CreateCredentialRequest(username="u2", password="!!!")
    check(stub, "CreateCredential", bad, 65535, 1, "decode password fail: illegal base64 data at input byte 0")
    assert check(stub, "ListCredUsers", pb.ListCredUsersRequest()).usernames == ["root", "u1"]

    wrong = "old password not correct for {}: not authenticated"
    check(stub, "UpdateCredential", new_password("u1", "bad", "secret2"), 1400, 1, wrong.format("u1"))
    check(stub, "UpdateCredential", new_password("nobody", "bad", "secret2"), 1400, 1, wrong.format("nobody"))
    check(stub, "UpdateCredential", new_password("u1", "secret1", "secret2"))
    refused(stub, "GetVersion", pb.GetVersionRequest(), grpc.StatusCode.UNAUTHENTICATED,
            "auth check failure, please check username and password are correct", token("u1", "secret1"))
    check(stub, "GetVersion", pb.GetVersionRequest(), who=token("u1", "secret2"))
    check(stub, "UpdateCredential", new_password("u1", "secret2", "secret3"), who=token("u1", "secret2"))

    check(stub, "DeleteCredential", pb.DeleteCredentialRequest(username="root"), 1401, 1,
          "root user cannot be deleted: privilege not permitted")
    check(stub, "DeleteCredential", pb.DeleteCredentialRequest(username="nobody"))
    check(stub, "DeleteCredential", pb.DeleteCredentialRequest(), 65535, 31,
          "fail to execute task when deleting the user")


@pytest.mark.parametrize("name, reason", [
    ("1u", "invalid user name 1u, the first character must be a letter, but got "),
    ("_u", "invalid user name _u, the first character must be a letter, but got "),
    ("u-1", "invalid user name u-1, username must contain only numbers, letters and underscores, but got "),
    ("u" * 33, f"invalid username {'u' * 33} with length 33, the length of username must be less than "),
])
def test_names_of_users(stub, name, reason):
    """The real server ends these texts with the marks of a wrong format."""
    status = call(stub, "CreateCredential", new_user(name, "secret1"))
    assert (status.code, status.error_code) == (1100, 5)
    assert status.reason.startswith(reason), status.reason


def test_roles(stub):
    check(stub, "CreateRole", new_role("r1"))
    check(stub, "CreateRole", new_role("r1"), 65535, 35, 'role [name:"r1"] already exists')
    check(stub, "CreateRole", new_role(""), 1100, 5, EMPTY_ROLE)
    check(stub, "CreateRole", new_role("1r"), 1100, 5, "the first character of role name must be an underscore or "
          "letter: invalid parameter[expected=95][actual=49]")
    check(stub, "CreateRole", new_role("r-1"), 1100, 5, "role name can only contain numbers, letters, dollars and "
          "underscores, found - at 1: invalid parameter")
    check(stub, "CreateRole", new_role("r" * 256), 1100, 5, "the length of role name must be not greater than limit: "
          "invalid parameter[256 out of range 0 <= value <= 255]")
    for number in range(7):
        check(stub, "CreateRole", new_role(f"x{number}"))
    check(stub, "CreateRole", new_role("x7"), 65535, 35,
          "unable to create role because the number of roles has reached the limit")

    check(stub, "CreateCredential", new_user("u1", "secret1"))
    for _ in range(2):
        check(stub, "OperateUserRole", member("u1", "r1"))
    check(stub, "OperateUserRole", member("u1", "nor"), 65535, 37, NOT_THE_ROLE)
    check(stub, "OperateUserRole", member("nou", "r1"), 65535, 37, NOT_THE_USER)
    check(stub, "OperateUserRole", member("nou", "r1", 1))
    check(stub, "OperateUserRole", member("u1", "r1", 7), 65535, 37,
          "fail to execute task when operate the user and role")
    check(stub, "OperateUserRole", member("u1", ""), 1100, 5, EMPTY_ROLE)

    one = check(stub, "SelectRole", pb.SelectRoleRequest(role=pb.RoleEntity(name="r1"), include_user_info=True))
    assert [(found.role.name, [user.name for user in found.users]) for found in one.results] == [("r1", ["u1"])]
    names = [found.role.name for found in check(stub, "SelectRole", pb.SelectRoleRequest()).results]
    assert names == ["admin", "public", "r1"] + [f"x{number}" for number in range(7)]
    assert not check(stub, "SelectRole", pb.SelectRoleRequest(role=pb.RoleEntity(name="nor"))).results
    user = check(stub, "SelectUser", pb.SelectUserRequest(user=pb.UserEntity(name="u1"), include_role_info=True))
    assert [(found.user.name, [role.name for role in found.roles]) for found in user.results] == [("u1", ["r1"])]
    assert not check(stub, "SelectUser", pb.SelectUserRequest(user=pb.UserEntity(name="nou"))).results

    check(stub, "DropRole", pb.DropRoleRequest(role_name="nor"), 65535, 36, NOT_THE_ROLE)
    check(stub, "DropRole", pb.DropRoleRequest(role_name="admin"), 1401, 1,
          "the role[admin] is a default role, which can't be dropped: privilege not permitted")
    check(stub, "OperatePrivilege", grant("r1", "Collection", "c1", "Insert"))
    check(stub, "DropRole", pb.DropRoleRequest(role_name="r1"), 65535, 36,
          "fail to drop the role that it has privileges. Use REVOKE API to revoke privileges")


def test_grants(stub):
    check(stub, "CreateRole", new_role("r1"))
    for _ in range(2):
        check(stub, "OperatePrivilege", grant("r1", "Collection", "c1", "Insert"))
    check(stub, "OperatePrivilege", grant("r1", "Collection", "c2", "Load", "*"))
    check(stub, "OperatePrivilege", grant("r1", "Collection", "c1", "Search", "db1"))
    check(stub, "OperatePrivilege", grant("r1", "Global", "anything", "CreateCollection"))
    check(stub, "OperatePrivilege", grant("r1", "Collection", "c1", "*"))
    check(stub, "OperatePrivilege", grant("r1", "Collection", "zz", "Delete", operation=1))
    kinds = "not found the object type[name: Nope], supported the object types: ["
    for request, code, error_code, reason in [
            (grant("r1", "Collection", "c1", "Nope"), 65535, 41, "not found the privilege name[Nope]"),
            (grant("r1", "Collection", "c1", "CreateCollection"), 65535, 41,
             "not found the privilege name[CreateCollection]"),
            (grant("nor", "Collection", "c1", "Insert"), 65535, 41, NOT_THE_ROLE),
            (grant("r1", "Collection", "", "Insert"), 1100, 5, EMPTY_ROLE),
            (grant("r1", "Collection", "c1", "Insert", operation=5), 65535, 41,
             "invalid operate privilege type, current type: 5, valid value: [Grant, Revoke]"),
            (pb.OperatePrivilegeRequest(), 65535, 1, "the entity in the request is nil"),
            (pb.OperatePrivilegeRequest(entity=pb.GrantEntity()), 65535, 1,
             "the grantor entity in the grant entity is nil")]:
        check(stub, "OperatePrivilege", request, code, error_code, reason)
    status = call(stub, "OperatePrivilege", grant("r1", "Nope", "c1", "Insert"))
    assert (status.code, status.error_code) == (65535, 41) and status.reason.startswith(kinds), status

    def listed(kind=None, name="", database="", role="r1"):
        entity = pb.GrantEntity(role=pb.RoleEntity(name=role), object_name=name, db_name=database,
                                object=pb.ObjectEntity(name=kind) if kind else None)
        found = check(stub, "SelectGrant", pb.SelectGrantRequest(entity=entity)).entities
        assert {entity.grantor.user.name for entity in found} <= {"root"}
        return [(e.object.name, e.db_name, e.object_name, e.grantor.privilege.name) for e in found]

    everywhere = ("Collection", "*", "c2", "Load")
    on_c1 = [("Collection", "default", "c1", "*"), ("Collection", "default", "c1", "Insert")]
    assert listed() == [everywhere, *on_c1, ("Global", "default", "*", "CreateCollection")]
    assert listed(database="db1") == [everywhere, ("Collection", "db1", "c1", "Search")]
    assert listed(database="*") == [everywhere]
    assert listed("Collection", "c1") == on_c1
    assert listed("Collection", "zz") == []
    assert listed(role="public") == [("Collection", "*", "*", "IndexDetail"),
                                     ("Global", "*", "*", "DescribeCollection"),
                                     ("Global", "*", "*", "ShowCollections")]
    check(stub, "SelectGrant", pb.SelectGrantRequest(), 1100, 5,
          "the grant entity in the request is nil: invalid parameter")
    unknown = pb.SelectGrantRequest(entity=pb.GrantEntity(role=pb.RoleEntity(name="nor")))
    check(stub, "SelectGrant", unknown, 65535, 42, NOT_THE_ROLE)


def test_grantable_privileges(stub):
    """Every privilege of the client's protocol files, on every kind of object."""
    if not OLDER:
        pytest.skip("newer clients know newer privileges")
    check(stub, "CreateRole", new_role("r1"))
    taken = {}
    for name in common_pb2.ObjectPrivilege.keys():
        privilege = name.removeprefix("Privilege")
        taken[privilege] = {kind for kind in ("Global", "Collection", "User")
                            if call(stub, "OperatePrivilege", grant("r1", kind, "*", privilege)).code == 0}
    assert all(len(kinds) == 1 for kinds in taken.values()), taken
    assert sum(kinds == {"Collection"} for kinds in taken.values()) == 22
    assert sum(kinds == {"User"} for kinds in taken.values()) == 2


def test_what_each_method_needs(stub):
    """A user without a role of its own gets what the client's own protocol files declare for each method."""
    if not OLDER:
        pytest.skip("newer protocol files declare more")
    check(stub, "CreateCredential", new_user("u1", "secret1"))
    who, public = token("u1", "secret1"), ("DescribeCollection", "ShowCollections", "IndexDetail")
    unknown = []
    for method in pb.DESCRIPTOR.services_by_name["MilvusService"].methods:
        if method.input_type.file.package != "milvus.proto.milvus" or method.name == "CalcDistance":
            continue
        request = getattr(pb, method.input_type.name)()
        options = method.input_type.GetOptions()
        code, text = None, None
        try:
            call(stub, method.name, request, who)
        except grpc.RpcError as error:
            code, text = error.code(), error.details()
        if code == grpc.StatusCode.UNIMPLEMENTED:
            unknown.append(method.name)
        elif options.HasExtension(common_pb2.privilege_ext_obj):
            declared = options.Extensions[common_pb2.privilege_ext_obj]
            name = common_pb2.ObjectPrivilege.Name(declared.object_privilege)
            if name.removeprefix("Privilege") in public:
                assert code is None, (method.name, code, text)
            else:
                expected = (grpc.StatusCode.PERMISSION_DENIED, f"{name}: permission deny to u1")
                assert (code, text) == expected, method.name
        elif method.name == "AlterAlias" and is_ours(stub):
            assert text == "PrivilegeCreateAlias: permission deny to u1"
        else:
            assert code is None, (method.name, code, text)
    assert not {"Insert", "CreateRole", "Search", "Flush"} & set(unknown)


def is_ours(stub):
    return "datacoord" in call(stub, "GetVersion", pb.GetVersionRequest()).version


@pytest.mark.parametrize("granted, asked, expected", [
    (("Collection", "c1", "Query", ""), ("c1", ""), True),
    (("Collection", "c1", "Query", ""), ("c2", ""), False),
    (("Collection", "c1", "Query", ""), ("c1", "db1"), False),
    (("Collection", "c1", "Query", "db1"), ("c1", "db1"), True),
    (("Collection", "c1", "Query", "*"), ("c1", "db1"), True),
    (("Collection", "*", "Query", ""), ("c2", ""), True),
    (("Collection", "c1", "*", ""), ("c1", ""), True),
    (("Global", "*", "*", ""), ("c1", ""), False),
    (("Global", "*", "All", ""), ("c1", ""), True),
    (("Global", "*", "All", "db1"), ("c1", ""), False),
    (("Global", "*", "All", "db1"), ("c1", "db1"), True),
])
def test_decisions(stub, granted, asked, expected):
    check(stub, "CreateCredential", new_user("u1", "secret1"))
    check(stub, "CreateRole", new_role("r1"))
    check(stub, "OperateUserRole", member("u1", "r1"))
    check(stub, "OperatePrivilege", grant("r1", *granted))
    name, database = asked

    def allowed():
        try:
            # The database is in the header, where the real server looks for it, and in the message.
            headers = {"dbname": database} if database else {}
            call(stub, "Query", pb.QueryRequest(collection_name=name, db_name=database, expr="a > 1"),
                 token("u1", "secret1"), **headers)
            return True
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED, error
            return False

    if not is_ours(stub):
        time.sleep(1)  # until its proxy has the grant
    assert allowed() == expected
    check(stub, "OperatePrivilege", grant("r1", *granted, operation=1))
    wait_until("the grant is gone", lambda: not allowed())


@contextlib.contextmanager
def connected(user, password):
    """The connection of a user under its name."""
    host, port = GRPC.split(":")
    connections.connect(user, host=host, port=port, user=user, password=password)
    try:
        yield user
    finally:
        connections.disconnect(user)


def denied(call, *arguments, **options):
    with pytest.raises((MilvusException, grpc.RpcError)) as caught:
        call(*arguments, **options)
    assert "permission deny to u1" in str(caught.value)


def test_the_orm():
    with connected("root", ROOT_PASSWORD) as root:
        utility.create_user("u1", "secret1", using=root)
        assert utility.list_usernames(using=root) == ["root", "u1"]
        role = Role("r1", using=root)
        role.create()
        assert role.is_exist()
        role.add_user("u1")
        assert list(role.get_users()) == ["u1"]
        role.grant("Collection", "c1", "Insert")
        role.grant("Global", "*", "CreateCollection")
        assert {(g.object, g.privilege) for g in role.list_grants().groups} == {("Collection", "Insert"),
                                                                               ("Global", "CreateCollection")}
        roles = utility.list_roles(include_user_info=True, using=root)
        assert {group.role_name for group in roles.groups} == {"admin", "public", "r1"}
        with connected("u1", "secret1") as user:
            assert utility.list_collections(using=user) == []
            denied(utility.drop_collection, "c1", using=user)
            denied(utility.list_usernames, using=user)
        utility.update_password("u1", "secret1", "secret2", using=root)
        role.revoke("Collection", "c1", "Insert")
        role.revoke("Global", "*", "CreateCollection")
        role.remove_user("u1")
        role.drop()
        utility.delete_user("u1", using=root)
        assert utility.list_usernames(using=root) == ["root"]


def test_the_client():
    root = MilvusClient(uri=f"http://{GRPC}", token=f"root:{ROOT_PASSWORD}")
    root.create_user("u1", "secret1")
    root.create_role("r1")
    root.grant_role("u1", "r1")
    root.grant_privilege("r1", "Global", "DescribeCollection", "*")
    assert list(root.describe_user("u1")["roles"]) == ["r1"]
    assert sorted(root.list_roles()) == ["admin", "public", "r1"]
    described = root.describe_role("r1")["privileges"]
    assert [entry["privilege"] for entry in described] == ["DescribeCollection"]
    user = MilvusClient(uri=f"http://{GRPC}", token="u1:secret1")
    assert user.list_collections() == []
    denied(user.drop_collection, "c1")
    denied(user.create_user, "u2", "secret2")
    root.revoke_privilege("r1", "Global", "DescribeCollection", "*")
    root.revoke_role("u1", "r1")
    root.drop_role("r1")
    root.drop_user("u1")
    assert list(root.list_users()) == ["root"]
    for client in (root, user):
        client.close()


def test_rows_of_a_user():
    """A user with the privileges of one collection writes and reads it, and no other."""
    root = MilvusClient(uri=f"http://{GRPC}", token=f"root:{ROOT_PASSWORD}")
    root.create_user("u1", "secret1")
    root.create_role("r1")
    root.grant_role("u1", "r1")
    for name in ("mine", "other"):
        if root.has_collection(name):
            root.drop_collection(name)
        root.create_collection(name, dimension=4)
    for privilege in ("Insert", "Query", "Delete", "Load", "Flush", "Compaction"):
        root.grant_privilege("r1", "Collection", privilege, "mine")
    user = MilvusClient(uri=f"http://{GRPC}", token="u1:secret1")
    rows = [{"id": key, "vector": [float(key)] * 4} for key in range(10)]
    user.insert("mine", rows)
    found = user.query("mine", filter="id >= 0", output_fields=["id"], consistency_level="Strong")
    assert len(found) == 10
    denied(user.insert, "other", rows)
    denied(user.query, "other", filter="id >= 0", output_fields=["id"])
    denied(user.drop_collection, "mine")
    for name in ("mine", "other"):
        root.drop_collection(name)
    for client in (root, user):
        client.close()


def test_guessing_is_slowed_down(stub):
    if not is_ours(stub):
        pytest.skip("the real server lets clients guess")
    check(stub, "CreateCredential", new_user("u1", "secret1"))
    codes = set()
    for number in range(30):
        with pytest.raises(grpc.RpcError) as caught:
            call(stub, "GetVersion", pb.GetVersionRequest(), token("u1", f"guess{number}"))
        codes.add(caught.value.code())
    assert codes == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    # Known logins are not delayed, also from the guesser's own address.
    check(stub, "GetVersion", pb.GetVersionRequest())
