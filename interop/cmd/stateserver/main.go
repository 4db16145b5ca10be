// Command stateserver is a COSI state over gRPC on a Unix socket, kept in memory: the other end for tests
// of a resource client. Unlike a Talos node it takes writes from everybody. It prints one line when it
// listens, and stops when its standard input ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"talos-interop/internal/protos"
)

func main() {
	socket := flag.String("socket", "", "path of the Unix socket to make")
	folder := flag.String("protos", "proto", "folder with the .proto files")
	flag.Parse()
	if err := run(*socket, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(socket, folder string) error {
	registry, err := protos.Load(context.Background(), folder)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := &server{protos: registry, store: newStore()}
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.handle))
	fmt.Printf("{\"listening\":%q}\n", socket)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

type server struct {
	protos *protos.Registry
	store  *store
}

// handle serves every method: the request and the replies take the way over JSON.
func (s *server) handle(_ any, stream grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(stream)
	method, err := s.protos.Method(full[1:])
	if err != nil || method.Parent().FullName() != "cosi.resource.State" {
		return status.Errorf(codes.Unimplemented, "unknown method %s", full)
	}
	input := dynamicpb.NewMessage(method.Input())
	if err := stream.RecvMsg(input); err != nil {
		return err
	}
	text, err := s.protos.JSON(input)
	if err != nil {
		return err
	}
	var request request
	if err := json.Unmarshal(text, &request); err != nil {
		return status.Errorf(codes.Internal, "reading the request: %v", err)
	}
	reply := func(value any) error {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		output := dynamicpb.NewMessage(method.Output())
		if err := s.protos.Parse(string(text), output); err != nil {
			return status.Errorf(codes.Internal, "building the reply: %v", err)
		}
		return stream.SendMsg(output)
	}
	return s.serve(stream.Context(), string(method.Name()), &request, reply)
}

func (s *server) serve(ctx context.Context, method string, r *request, reply func(any) error) error {
	type one struct {
		Resource *resource `json:"resource"`
	}
	answer := func(found *resource, err error) error {
		if err != nil {
			return err
		}
		return reply(one{found})
	}
	empty := func(err error) error {
		if err != nil {
			return err
		}
		return reply(struct{}{})
	}
	switch method {
	case "Get":
		return answer(s.store.get(r.key()))
	case "List":
		all, err := s.store.list(r.kind(), r.Options)
		if err != nil {
			return err
		}
		for _, found := range all {
			if err := reply(one{found}); err != nil {
				return err
			}
		}
		return nil
	case "Create":
		return answer(s.store.create(r.Resource, r.Options.Owner))
	case "Update":
		return answer(s.store.update(r.NewResource, r.Options))
	case "Destroy":
		return empty(s.store.destroy(r.key(), r.Options.Owner))
	case "Teardown":
		ready, err := s.store.teardown(r.key(), r.Options.Owner)
		if err != nil {
			return err
		}
		return reply(map[string]bool{"destroy_ready": ready})
	case "TeardownAndDestroy":
		return empty(s.store.teardownAndDestroy(ctx, r.key(), r.Options.Owner))
	case "Watch":
		return s.watch(ctx, r, reply)
	default:
		return status.Errorf(codes.Unimplemented, "unknown method %s", method)
	}
}
