// The real binary as a child process, and its calls.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/golang/protobuf/proto"
	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	collection   = "registers"
	readyTimeout = 60 * time.Second
	callTimeout  = 20 * time.Second
	dim          = 2
)

// Much happens in little time: small logs, garbage is collected at once and often.
var settings = []string{
	"DATACOORD__WAL__FILESIZE=1",
	"DATACOORD__GC__DROPTOLERANCE=0",
	"DATACOORD__GC__INTERVAL=1",
}

// Server is one life of the binary after the other, over one data directory.
type Server struct {
	binary, folder string

	lock    sync.Mutex
	changed *sync.Cond
	process *exec.Cmd
	conn    *grpc.ClientConn
	over    bool
}

// NewServer starts nothing yet.
func NewServer(binary, folder string) *Server {
	server := &Server{binary: binary, folder: folder}
	server.changed = sync.NewCond(&server.lock)
	return server
}

// Start starts the binary and waits until it answers.
func (s *Server) Start() error {
	ready := filepath.Join(s.folder, "ready.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.folder, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process := exec.Command(s.binary, "serve", "--data-dir", filepath.Join(s.folder, "data"), "--ready-file", ready,
		"--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
	process.Env = append(os.Environ(), settings...)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		return err
	}
	address, err := waitReady(ready)
	if err != nil {
		return errors.Join(err, process.Process.Kill(), process.Wait())
	}
	// The library tries no call again: a second attempt could be a second write.
	conn, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return errors.Join(err, process.Process.Kill(), process.Wait())
	}
	s.lock.Lock()
	s.process, s.conn = process, conn
	s.lock.Unlock()
	s.changed.Broadcast()
	return nil
}

func waitReady(path string) (string, error) {
	for end := time.Now().Add(readyTimeout); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		var told struct {
			Grpc string `json:"grpc"`
		}
		return told.Grpc, json.Unmarshal(text, &told)
	}
	return "", fmt.Errorf("the server was not ready after %s", readyTimeout)
}

// Kill ends the process at once. Calls under way fail.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop ends the process in order.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

func (s *Server) end(signal syscall.Signal) error {
	s.lock.Lock()
	process, conn := s.process, s.conn
	s.process, s.conn = nil, nil
	s.lock.Unlock()
	if process == nil {
		return nil
	}
	if err := process.Process.Signal(signal); err != nil {
		return err
	}
	err := process.Wait()
	if signal == syscall.SIGKILL && process.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		err = nil
	}
	return errors.Join(err, conn.Close())
}

// Leave has waiting clients go.
func (s *Server) Leave() {
	s.lock.Lock()
	s.over = true
	s.lock.Unlock()
	s.changed.Broadcast()
}

// Client waits until a server runs. False: there will be none.
func (s *Server) Client() (milvuspb.MilvusServiceClient, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for s.conn == nil && !s.over {
		s.changed.Wait()
	}
	if s.conn == nil {
		return nil, false
	}
	return milvuspb.NewMilvusServiceClient(s.conn), true
}

// --- calls

// refused is an answer that is not a success. The server may have done the work all the same.
func refused(status *commonpb.Status, err error) error {
	if err != nil {
		return err
	}
	if status.GetErrorCode() != commonpb.ErrorCode_Success || status.GetCode() != 0 {
		return fmt.Errorf("%s (%d)", status.GetReason(), status.GetCode())
	}
	return nil
}

// CreateCollection makes the collection of registers and loads it.
func CreateCollection(ctx context.Context, c milvuspb.MilvusServiceClient) error {
	vector := []*commonpb.KeyValuePair{{Key: "dim", Value: fmt.Sprint(dim)}}
	schema, err := proto.Marshal(&schemapb.CollectionSchema{Name: collection, Fields: []*schemapb.FieldSchema{
		{FieldID: 100, Name: "k", DataType: schemapb.DataType_Int64, IsPrimaryKey: true},
		{FieldID: 101, Name: "v", DataType: schemapb.DataType_Int64},
		{FieldID: 102, Name: "x", DataType: schemapb.DataType_FloatVector, TypeParams: vector},
	}})
	if err != nil {
		return err
	}
	status, err := c.CreateCollection(ctx, &milvuspb.CreateCollectionRequest{CollectionName: collection, Schema: schema,
		ShardsNum: 2, ConsistencyLevel: commonpb.ConsistencyLevel_Strong})
	if err := refused(status, err); err != nil {
		return err
	}
	status, err = c.CreateIndex(ctx, &milvuspb.CreateIndexRequest{CollectionName: collection, FieldName: "x",
		ExtraParams: []*commonpb.KeyValuePair{{Key: "index_type", Value: "FLAT"}, {Key: "metric_type", Value: "L2"}}})
	if err := refused(status, err); err != nil {
		return err
	}
	status, err = c.LoadCollection(ctx, &milvuspb.LoadCollectionRequest{CollectionName: collection, ReplicaNumber: 1})
	return refused(status, err)
}

func key(group int64, index int) int64 { return group*Keys + int64(index) }

func columns(call Call) ([]*schemapb.FieldData, uint32) {
	var keys, written []int64
	var vectors []float32
	for index := 0; index < Keys; index++ {
		if value, has := call.Values[index]; has {
			keys, written = append(keys, key(call.Group, index)), append(written, value)
			vectors = append(vectors, make([]float32, dim)...)
		}
	}
	return []*schemapb.FieldData{long("k", 100, keys), long("v", 101, written), {
		Type: schemapb.DataType_FloatVector, FieldName: "x", FieldId: 102,
		Field: &schemapb.FieldData_Vectors{Vectors: &schemapb.VectorField{Dim: dim,
			Data: &schemapb.VectorField_FloatVector{FloatVector: &schemapb.FloatArray{Data: vectors}}}},
	}}, uint32(len(keys))
}

func long(name string, id int64, data []int64) *schemapb.FieldData {
	return &schemapb.FieldData{Type: schemapb.DataType_Int64, FieldName: name, FieldId: id,
		Field: &schemapb.FieldData_Scalars{Scalars: &schemapb.ScalarField{
			Data: &schemapb.ScalarField_LongData{LongData: &schemapb.LongArray{Data: data}}}}}
}

func keyList(group int64, indexes []int) string {
	var words []string
	for _, index := range indexes {
		words = append(words, fmt.Sprint(key(group, index)))
	}
	return "k in [" + strings.Join(words, ",") + "]"
}

// Do sends a call. Rows are the answer to a query.
func Do(ctx context.Context, c milvuspb.MilvusServiceClient, call Call) (*Rows, error) {
	var result *milvuspb.MutationResult
	var err error
	all := []int{0, 1, 2}
	switch call.Kind {
	case Insert:
		data, rows := columns(call)
		result, err = c.Insert(ctx, &milvuspb.InsertRequest{CollectionName: collection, FieldsData: data, NumRows: rows})
	case Upsert:
		data, rows := columns(call)
		result, err = c.Upsert(ctx, &milvuspb.UpsertRequest{CollectionName: collection, FieldsData: data, NumRows: rows})
	case Delete:
		expr := keyList(call.Group, call.Keys)
		result, err = c.Delete(ctx, &milvuspb.DeleteRequest{CollectionName: collection, Expr: expr})
	case DeleteBelow:
		expr := fmt.Sprintf("%s && v < %d", keyList(call.Group, all), call.Bound)
		result, err = c.Delete(ctx, &milvuspb.DeleteRequest{CollectionName: collection, Expr: expr})
	case Query:
		found, err := c.Query(ctx, &milvuspb.QueryRequest{CollectionName: collection, Expr: keyList(call.Group, all),
			OutputFields: []string{"k", "v"}, ConsistencyLevel: commonpb.ConsistencyLevel_Strong})
		if err := refused(found.GetStatus(), err); err != nil {
			return nil, err
		}
		return rowsOf(call.Group, found.GetFieldsData())
	}
	return nil, refused(result.GetStatus(), err)
}

func rowsOf(group int64, fields []*schemapb.FieldData) (*Rows, error) {
	found := map[string][]int64{}
	for _, field := range fields {
		found[field.GetFieldName()] = field.GetScalars().GetLongData().GetData()
	}
	if len(found["k"]) != len(found["v"]) {
		return nil, fmt.Errorf("%d keys and %d values", len(found["k"]), len(found["v"]))
	}
	var rows Rows
	for at, k := range found["k"] {
		index := k - key(group, 0)
		if index < 0 || index >= Keys {
			return nil, fmt.Errorf("group %d was asked for, key %d was found", group, k)
		}
		rows[index] = append(rows[index], found["v"][at])
	}
	return &rows, nil
}

// Flush has the rows in memory written to segments.
func Flush(ctx context.Context, c milvuspb.MilvusServiceClient) error {
	answer, err := c.Flush(ctx, &milvuspb.FlushRequest{CollectionNames: []string{collection}})
	return refused(answer.GetStatus(), err)
}

// Compact compacts the collection and waits for the end. It returns how many plans have completed.
func Compact(ctx context.Context, c milvuspb.MilvusServiceClient) (int64, error) {
	about, err := c.DescribeCollection(ctx, &milvuspb.DescribeCollectionRequest{CollectionName: collection})
	if err := refused(about.GetStatus(), err); err != nil {
		return 0, err
	}
	job, err := c.ManualCompaction(ctx, &milvuspb.ManualCompactionRequest{CollectionID: about.GetCollectionID()})
	if err := refused(job.GetStatus(), err); err != nil {
		return 0, err
	}
	for ; ; time.Sleep(20 * time.Millisecond) {
		state, err := c.GetCompactionState(ctx, &milvuspb.GetCompactionStateRequest{CompactionID: job.GetCompactionID()})
		if err := refused(state.GetStatus(), err); err != nil {
			return 0, err
		}
		if state.GetState() == commonpb.CompactionState_Completed {
			return state.GetCompletedPlanNo(), nil
		}
	}
}
