package main

import (
	"context"
	"os"
	"strings"

	"datacoord.test/e2e/check"
	"github.com/milvus-io/milvus/client/v2/milvusclient"
)

// Users: a user has the rights of its roles. Wants a server that asks for a user, and root's password in E2E_TOKEN.
func users(ctx context.Context, address string) {
	const name, role, password = "go_user", "go_role", "secret1"
	rootName, rootPassword, _ := strings.Cut(os.Getenv("E2E_TOKEN"), ":")
	root, err := login(ctx, address, rootName, rootPassword)
	check.OK(err)
	check.OK(root.CreateUser(ctx, milvusclient.NewCreateUserOption(name, password)))
	check.OK(root.CreateRole(ctx, milvusclient.NewCreateRoleOption(role)))
	check.OK(root.GrantRole(ctx, milvusclient.NewGrantRoleOption(name, role)))

	_, err = login(ctx, address, name, "secret2")
	check.That(err != nil && strings.Contains(err.Error(), "auth check failure"), "a wrong password: %v", err)
	user, err := login(ctx, address, name, password)
	check.OK(err)
	create := func() error {
		return user.CreateCollection(ctx, milvusclient.SimpleCreateCollectionOptions(book, check.Dim))
	}
	refused := func(err error, privilege string) {
		text := "Privilege" + privilege + ": permission deny to " + name
		check.That(err != nil && strings.Contains(err.Error(), text), "%s: got %v", text, err)
	}
	refused(create(), "CreateCollection")
	for _, privilege := range []string{"CreateCollection", "DropCollection"} {
		check.OK(root.GrantPrivilege(ctx, milvusclient.NewGrantPrivilegeOption(role, "Global", privilege, "*")))
	}
	for _, privilege := range []string{"CreateIndex", "Load", "GetLoadingProgress"} {
		check.OK(root.GrantPrivilege(ctx, milvusclient.NewGrantPrivilegeOption(role, "Collection", privilege, book)))
	}
	check.OK(create())
	refused(flushed(user.Flush(ctx, milvusclient.NewFlushOption(book))), "Flush")
	check.OK(user.DropCollection(ctx, milvusclient.NewDropCollectionOption(book)))
	for _, privilege := range []string{"CreateCollection", "DropCollection"} {
		check.OK(root.RevokePrivilege(ctx, milvusclient.NewRevokePrivilegeOption(role, "Global", privilege, "*")))
	}
	refused(create(), "CreateCollection")
	for _, privilege := range []string{"CreateIndex", "Load", "GetLoadingProgress"} {
		check.OK(root.RevokePrivilege(ctx, milvusclient.NewRevokePrivilegeOption(role, "Collection", privilege, book)))
	}
	check.OK(root.DropUser(ctx, milvusclient.NewDropUserOption(name)))
	check.OK(root.DropRole(ctx, milvusclient.NewDropRoleOption(role)))
	check.OK(user.Close(ctx))
	check.OK(root.Close(ctx))
}

func login(ctx context.Context, address, name, password string) (*milvusclient.Client, error) {
	return milvusclient.New(ctx, &milvusclient.ClientConfig{Address: address, Username: name, Password: password})
}

// flushed is the error of a flush, whose task does not matter.
func flushed(_ *milvusclient.FlushTask, err error) error {
	return err
}
