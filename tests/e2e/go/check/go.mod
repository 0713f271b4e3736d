// What the Go suites share.
module datacoord.test/e2e/check

go 1.21
