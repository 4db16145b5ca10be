package main

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"talos-interop/internal/protos"
)

type harness struct {
	*testing.T
	protos  *protos.Registry
	channel *grpc.ClientConn
}

func start(t *testing.T) *harness {
	t.Helper()
	registry, err := protos.Load(t.Context(), filepath.Join("..", "..", "..", "proto"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "state.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{protos: registry, store: newStore()}
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.handle))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	channel, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = channel.Close() })
	return &harness{t, registry, channel}
}

func (h *harness) message(path, text string) (*dynamicpb.Message, *dynamicpb.Message) {
	h.Helper()
	method, err := h.protos.Method("cosi.resource.State/" + path)
	if err != nil {
		h.Fatal(err)
	}
	input := dynamicpb.NewMessage(method.Input())
	if err := h.protos.Parse(text, input); err != nil {
		h.Fatal(err)
	}
	return input, dynamicpb.NewMessage(method.Output())
}

func (h *harness) call(rpc, text string, want codes.Code) protos.Value {
	h.Helper()
	input, output := h.message(rpc, text)
	err := h.channel.Invoke(h.Context(), "/cosi.resource.State/"+rpc, input, output)
	if status.Code(err) != want {
		h.Fatalf("%s: %v, %s was expected", rpc, err, want)
	}
	value, err := h.protos.Value(output)
	if err != nil {
		h.Fatal(err)
	}
	return value
}

// open starts a stream and gives a function that waits for the next message.
func (h *harness) open(ctx context.Context, rpc, text string) func() protos.Value {
	h.Helper()
	input, _ := h.message(rpc, text)
	stream, err := h.channel.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/cosi.resource.State/"+rpc)
	if err != nil {
		h.Fatal(err)
	}
	if err := stream.SendMsg(input); err != nil {
		h.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		h.Fatal(err)
	}
	return func() protos.Value {
		h.Helper()
		_, output := h.message(rpc, "")
		if err := stream.RecvMsg(output); err != nil {
			h.Fatal(err)
		}
		value, err := h.protos.Value(output)
		if err != nil {
			h.Fatal(err)
		}
		return value
	}
}

func sample(id, version, label string, finalizers ...string) string {
	text, _ := json.Marshal(resource{
		Metadata: metadata{Namespace: "default", Type: "Samples.example.dev", ID: id, Version: version, Phase: running,
			Labels: map[string]string{"number": label}, Finalizers: finalizers},
		Spec: spec{ProtoSpec: "CAE=", YamlSpec: "number: 1\n"},
	})
	return string(text)
}

const collectionOf = `"namespace":"default","type":"Samples.example.dev"`

func TestWritesAndConflicts(t *testing.T) {
	h := start(t)
	made := h.call("Create", `{"resource":`+sample("a", "undefined", "1")+`,"options":{"owner":"me"}}`, codes.OK)
	if made.At("resource.metadata.version").String() != "1" || made.At("resource.metadata.owner").String() != "me" {
		t.Fatal(made)
	}
	h.call("Create", `{"resource":`+sample("a", "1", "1")+`}`, codes.AlreadyExists)
	h.call("Update", `{"new_resource":`+sample("a", "1", "2")+`}`, codes.PermissionDenied)
	h.call("Update", `{"new_resource":`+sample("a", "7", "2")+`,"options":{"owner":"me"}}`, codes.FailedPrecondition)
	h.call("Update", `{"new_resource":`+sample("a", "1", "2")+`,"options":{"owner":"me","expected_phase":"tearingDown"}}`, codes.InvalidArgument)
	updated := h.call("Update", `{"new_resource":`+sample("a", "1", "2", "held")+`,"options":{"owner":"me"}}`, codes.OK)
	if updated.At("resource.metadata.version").String() != "2" {
		t.Fatal(updated)
	}
	h.call("Destroy", `{`+collectionOf+`,"id":"a","options":{"owner":"me"}}`, codes.FailedPrecondition)
	if ready := h.call("Teardown", `{`+collectionOf+`,"id":"a","options":{"owner":"me"}}`, codes.OK); ready.At("destroy_ready").String() != "false" {
		t.Fatal(ready)
	}
	h.call("Update", `{"new_resource":`+sample("a", "3", "2")+`,"options":{"owner":"me"}}`, codes.OK)
	h.call("TeardownAndDestroy", `{`+collectionOf+`,"id":"a","options":{"owner":"me"}}`, codes.OK)
	h.call("Get", `{`+collectionOf+`,"id":"a"}`, codes.NotFound)
}

func TestWatchFiltersAndResumes(t *testing.T) {
	h := start(t)
	h.call("Create", `{"resource":`+sample("a", "", "5")+`}`, codes.OK)
	query := `"label_query":[{"terms":[{"key":"number","op":"LT_NUMERIC","value":["10"]}]}]`
	next := h.open(t.Context(), "Watch", `{`+collectionOf+`,"api_version":1,"options":{"bootstrap_contents":true,`+query+`}}`)
	expect := func(next func() protos.Value, kind string) protos.Value {
		t.Helper()
		found := next().At("event.0")
		if found.At("event_type").String() != kind {
			t.Fatalf("%s, %s was expected", found, kind)
		}
		return found
	}
	if len(next().At("event").List()) != 0 {
		t.Fatal("the first message has events")
	}
	expect(next, "CREATED")
	bookmark := expect(next, "BOOTSTRAPPED").At("bookmark").String()
	h.call("Update", `{"new_resource":`+sample("a", "1", "50")+`}`, codes.OK)
	expect(next, "DESTROYED")
	h.call("Update", `{"new_resource":`+sample("a", "2", "7")+`}`, codes.OK)
	expect(next, "CREATED")

	resumed := h.open(t.Context(), "Watch", `{`+collectionOf+`,"api_version":1,"options":{"start_from_bookmark":"`+bookmark+`"}}`)
	resumed()
	expect(resumed, "UPDATED")
	expect(resumed, "UPDATED")
	list := h.open(t.Context(), "List", `{`+collectionOf+`,"options":{`+query+`}}`)
	if list().At("resource.metadata.version").String() != "3" {
		t.Fatal("another version")
	}
}
