"""Users, roles and grants, on a server that asks nobody for a password."""

from scenarios import BAD_NAMES, scenario
from base64 import b64encode

PASSWORD = b64encode(b"Secret-123").decode()


@scenario
def credentials(run):
    run.ListCredUsers()
    for name in BAD_NAMES:
        run.CreateCredential(username=name, password=PASSWORD)
        run.DeleteCredential(username=name)
        run.UpdateCredential(username=name, oldPassword=PASSWORD, newPassword=PASSWORD)
    run.CreateCredential(username="u" * 33, password=PASSWORD)
    for text in (b"", b"short", b"x" * 257):
        run.CreateCredential(_note=f"password of {len(text)}", username="user_a", password=b64encode(text).decode())
    run.CreateCredential(_note="password that is no base64", username="user_a", password="!!!")
    run.CreateCredential(username="user_a", password=PASSWORD)
    run.CreateCredential(username="user_a", password=PASSWORD)
    run.CreateCredential(username="root", password=PASSWORD)
    run.ListCredUsers()
    run.UpdateCredential(_note="wrong", username="user_a", oldPassword=b64encode(b"Other-123").decode(),
                         newPassword=PASSWORD)
    run.UpdateCredential(_note="short", username="user_a", oldPassword=PASSWORD, newPassword=b64encode(b"short").decode())
    run.UpdateCredential(_note="right", username="user_a", oldPassword=PASSWORD,
                         newPassword=b64encode(b"Other-123").decode())
    run.UpdateCredential(username="not_there", oldPassword=PASSWORD, newPassword=PASSWORD)
    run.DeleteCredential(username="not_there")
    run.DeleteCredential(username="user_a")
    run.DeleteCredential(username="user_a")
    run.DeleteCredential(username="root")


@scenario
def roles(run):
    for name in BAD_NAMES:
        run.CreateRole(entity={"name": name})
        run.DropRole(role_name=name)
        run.SelectRole(role={"name": name})
    run.CreateRole(entity={"name": "role_a"})
    run.CreateRole(entity={"name": "role_a"})
    run.CreateRole(entity={"name": "admin"})
    run.SelectRole(role={"name": "role_a"})
    run.SelectRole(role={"name": "not_there"})
    run.SelectRole()
    run.CreateCredential(username="user_b", password=PASSWORD)
    for kind in ("AddUserToRole", "RemoveUserFromRole"):
        for user, role in (("not_there", "role_a"), ("user_b", "not_there"), ("", "role_a"), ("user_b", ""),
                           ("user_b", "role_a"), ("user_b", "role_a")):
            run.OperateUserRole(username=user, role_name=role, type=kind)
        run.SelectRole(role={"name": "role_a"}, include_user_info=True)
        run.SelectUser(user={"name": "user_b"}, include_role_info=True)
    run.OperateUserRole(username="user_b", role_name="role_a", type=7)
    run.SelectUser(user={"name": "not_there"}, include_role_info=True)
    run.SelectUser(user={"name": "root"}, include_role_info=True)
    run.SelectUser()
    run.DropRole(role_name="not_there")
    run.DropRole(role_name="admin")
    run.DropRole(role_name="public")
    run.DropRole(role_name="role_a")
    run.DropRole(role_name="role_a")


def grant(role="role_g", kind="Collection", name="*", privilege="Query", user="root", database=""):
    return {"role": {"name": role}, "object": {"name": kind}, "object_name": name, "db_name": database,
            "grantor": {"user": {"name": user}, "privilege": {"name": privilege}}}


@scenario
def grants(run):
    run.CreateRole(entity={"name": "role_g"})
    for kind in ("Grant", "Revoke"):
        for entity in (grant(), grant(), grant("not_there"), grant(kind="Nothing"), grant(kind=""), grant(name=""),
                       grant(name="12-s"), grant(name="not_there"), grant(privilege="Nothing"), grant(privilege=""),
                       grant(privilege="CreateDatabase"), grant(kind="Global", privilege="CreateDatabase"),
                       grant(kind="User", privilege="UpdateUser"), grant(privilege="*"), grant(privilege="All"),
                       grant(user="not_there"), grant(user=""), grant(database="not_there"), grant(role="")):
            run.OperatePrivilege(entity=entity, type=kind)
        run.SelectGrant(_note=f"after {kind}", entity={"role": {"name": "role_g"}})
    run.OperatePrivilege(type="Grant")
    run.OperatePrivilege(_note="of no object", entity={"role": {"name": "role_g"}}, type="Grant")
    run.OperatePrivilege(entity=grant(), type=7)
    for entity in ({"role": {"name": "not_there"}}, {"role": {"name": ""}}, {}, {"role": {"name": "role_g"},
                   "object": {"name": "Collection"}, "object_name": "*"}, {"role": {"name": "role_g"},
                   "object": {"name": "Nothing"}, "object_name": "*"}):
        run.SelectGrant(entity=entity)
    run.OperatePrivilege(_note="before the drop", entity=grant(), type="Grant")
    run.DropRole(_note="with a grant", role_name="role_g")
