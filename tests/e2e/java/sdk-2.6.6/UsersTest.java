// Users, roles and privileges through milvus-sdk-java 2.6 (MilvusClientV2). Wants E2E_GRPC of a server that asks for a user,
// and E2E_TOKEN of root.

import io.milvus.v2.client.ConnectConfig;
import io.milvus.v2.client.MilvusClientV2;
import io.milvus.v2.common.DataType;
import io.milvus.v2.service.collection.request.AddFieldReq;
import io.milvus.v2.service.collection.request.CreateCollectionReq;
import io.milvus.v2.service.collection.request.DropCollectionReq;
import io.milvus.v2.service.rbac.request.CreateRoleReq;
import io.milvus.v2.service.rbac.request.CreateUserReq;
import io.milvus.v2.service.rbac.request.DropRoleReq;
import io.milvus.v2.service.rbac.request.DropUserReq;
import io.milvus.v2.service.rbac.request.GrantPrivilegeReq;
import io.milvus.v2.service.rbac.request.GrantRoleReq;
import io.milvus.v2.service.rbac.request.RevokePrivilegeReq;

public final class UsersTest {
    private static final String USER = "java_user";
    private static final String ROLE = "java_role";
    private static final String[] PRIVILEGES = {"CreateCollection", "DropCollection"};

    private UsersTest() {}

    public static void main(String[] arguments) {
        Checks.run(() -> {
            MilvusClientV2 root = login(System.getenv("E2E_TOKEN"));
            root.createUser(CreateUserReq.builder().userName(USER).password("secret1").build());
            root.createRole(CreateRoleReq.builder().roleName(ROLE).build());
            root.grantRole(GrantRoleReq.builder().userName(USER).roleName(ROLE).build());
            refused("auth check failure", () -> login(USER + ":secret2").listCollections());

            MilvusClientV2 user = login(USER + ":secret1");
            refused("PrivilegeCreateCollection: permission deny to " + USER, () -> create(user));
            for (String privilege : PRIVILEGES) {
                root.grantPrivilege(GrantPrivilegeReq.builder().roleName(ROLE).objectType("Global").objectName("*")
                        .privilege(privilege).build());
            }
            create(user);
            refused("PrivilegeCreateOwnership: permission deny to " + USER,
                    () -> user.createRole(CreateRoleReq.builder().roleName("other").build()));
            user.dropCollection(DropCollectionReq.builder().collectionName(Checks.BOOK).build());
            for (String privilege : PRIVILEGES) {
                root.revokePrivilege(RevokePrivilegeReq.builder().roleName(ROLE).objectType("Global").objectName("*")
                        .privilege(privilege).build());
            }
            refused("permission deny", () -> create(user));
            root.dropUser(DropUserReq.builder().userName(USER).build());
            root.dropRole(DropRoleReq.builder().roleName(ROLE).build());
            user.close();
            root.close();
        });
    }

    private static MilvusClientV2 login(String token) {
        return new MilvusClientV2(
                ConnectConfig.builder().uri("http://" + System.getenv("E2E_GRPC")).token(token).build());
    }

    /** Without an index, so that nothing is loaded. */
    private static void create(MilvusClientV2 client) {
        CreateCollectionReq.CollectionSchema schema = client.createSchema();
        schema.addField(AddFieldReq.builder().fieldName("key")
                .dataType(DataType.Int64).isPrimaryKey(true).build());
        schema.addField(AddFieldReq.builder().fieldName("vector")
                .dataType(DataType.FloatVector).dimension(Checks.DIM).build());
        client.createCollection(
                CreateCollectionReq.builder().collectionName(Checks.BOOK).collectionSchema(schema).build());
    }

    private static void refused(String expected, Runnable call) {
        try {
            call.run();
        } catch (RuntimeException why) {
            Checks.check(String.valueOf(why.getMessage()).contains(expected), expected + ": got " + why);
            return;
        }
        throw new AssertionError("allowed, expected: " + expected);
    }
}
