// Shared by the Go suites.
module datacoord.test/e2e/check

go 1.21
