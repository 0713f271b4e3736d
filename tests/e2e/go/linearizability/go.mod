// Histories of concurrent clients, checked by porcupine.
module datacoord.test/e2e/linearizability

go 1.21

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/golang/protobuf v1.5.2
	github.com/milvus-io/milvus-proto/go-api/v2 v2.3.5
	google.golang.org/grpc v1.48.0
)

require (
	golang.org/x/net v0.0.0-20220127200216-cd36cc0744dd // indirect
	golang.org/x/sys v0.0.0-20220422013727-9388b58f7150 // indirect
	golang.org/x/text v0.3.7 // indirect
	google.golang.org/genproto v0.0.0-20220503193339-ba3ae3f07e29 // indirect
	google.golang.org/protobuf v1.28.0 // indirect
)
