// Package probe runs named steps against a cluster and prints one JSON line for each.
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"talos-interop/internal/conn"
	"talos-interop/internal/protos"
)

// Patience is how long one step may take.
const Patience = 60 * time.Second

// Line is what a step prints.
type Line struct {
	Step string   `json:"step"`
	OK   bool     `json:"ok"`
	Seen string   `json:"seen"`
	RPCs []string `json:"rpcs"`
}

// Step is one thing to try.
type Step struct {
	Name string
	Run  func(t *T)
}

// Runner runs steps in their order.
type Runner struct {
	Protos *protos.Registry
	Log    *conn.Log
	Out    io.Writer
}

// failure is how T ends a step early.
type failure struct{ text string }

// Run runs one step and reports whether it went well.
func (r *Runner) Run(step Step) (ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t := &T{Context: ctx, protos: r.Protos}
	defer func() {
		cancel()
		if problem := recover(); problem != nil {
			known, is := problem.(failure)
			if !is {
				panic(problem)
			}
			ok = false
			t.seen = append(t.seen, known.text)
		}
		rpcs := r.Log.Drain()
		slices.Sort(rpcs)
		line := Line{Step: step.Name, OK: ok, Seen: strings.Join(t.seen, "; "), RPCs: rpcs}
		encoder := json.NewEncoder(r.Out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(line); err != nil {
			panic(err)
		}
	}()
	step.Run(t)
	return true
}

// T is what a step works with.
type T struct {
	Context context.Context
	protos  *protos.Registry
	seen    []string
}

// See notes what was seen.
func (t *T) See(format string, arguments ...any) {
	t.seen = append(t.seen, fmt.Sprintf(format, arguments...))
}

// Fail ends the step.
func (t *T) Fail(format string, arguments ...any) {
	panic(failure{fmt.Sprintf("FAILED: "+format, arguments...)})
}

// Check ends the step unless ok.
func (t *T) Check(ok bool, format string, arguments ...any) {
	if !ok {
		t.Fail(format, arguments...)
	}
}

// Must ends the step on an error.
func (t *T) Must(err error, doing string) {
	if err != nil {
		t.Fail("%s: %v", doing, err)
	}
}

// Unary calls path on channel with a request in JSON form.
func (t *T) Unary(ctx context.Context, channel *grpc.ClientConn, path, request string) (protos.Value, error) {
	method, err := t.protos.Method(path)
	t.Must(err, "looking "+path+" up")
	input := dynamicpb.NewMessage(method.Input())
	t.Must(t.protos.Parse(request, input), "building the request")
	output := dynamicpb.NewMessage(method.Output())
	t.Check(channel != nil, "the step that connects failed")
	if err := channel.Invoke(ctx, "/"+path, input, output); err != nil {
		return protos.Value{}, err
	}
	t.known(output)
	value, err := t.protos.Value(output)
	t.Must(err, "rendering the reply")
	return value, nil
}

// Call is Unary for a call that must succeed.
func (t *T) Call(ctx context.Context, channel *grpc.ClientConn, path, request string) protos.Value {
	value, err := t.Unary(ctx, channel, path, request)
	t.Must(err, path)
	return value
}

// Refused is Unary for a call that must fail with code and a message that contains text.
func (t *T) Refused(ctx context.Context, channel *grpc.ClientConn, path, request string, code codes.Code, text string) {
	_, err := t.Unary(ctx, channel, path, request)
	t.Status(err, code, text)
}

// Status checks an error, and notes it.
func (t *T) Status(err error, code codes.Code, text string) {
	if err == nil {
		t.Fail("no error, %s %q was expected", code, text)
	}
	got := status.Convert(err)
	t.Check(got.Code() == code && strings.Contains(got.Message(), text),
		"%s %q, %s %q was expected", got.Code(), got.Message(), code, text)
	t.See("%s %q", got.Code(), got.Message())
}

// known ends the step when the reply has fields that the protos do not know.
func (t *T) known(message proto.Message) {
	t.Check(len(message.ProtoReflect().GetUnknown()) == 0, "%s has unknown fields", message.ProtoReflect().Descriptor().FullName())
}

// Stream is an open call.
type Stream struct {
	t      *T
	stream grpc.ClientStream
	input  func() *dynamicpb.Message
	output func() *dynamicpb.Message
}

// Open starts a call with streams on either side.
func (t *T) Open(ctx context.Context, channel *grpc.ClientConn, path string) *Stream {
	method, err := t.protos.Method(path)
	t.Must(err, "looking "+path+" up")
	description := &grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()}
	t.Check(channel != nil, "the step that connects failed")
	stream, err := channel.NewStream(ctx, description, "/"+path)
	t.Must(err, path)
	return &Stream{
		t: t, stream: stream,
		input:  func() *dynamicpb.Message { return dynamicpb.NewMessage(method.Input()) },
		output: func() *dynamicpb.Message { return dynamicpb.NewMessage(method.Output()) },
	}
}

// Server starts a call with one request and a stream of replies.
func (t *T) Server(ctx context.Context, channel *grpc.ClientConn, path, request string) *Stream {
	stream := t.Open(ctx, channel, path)
	stream.Send(request)
	stream.Close()
	return stream
}

// Send sends one message in JSON form. The end of the stream is left to Recv.
func (s *Stream) Send(request string) {
	message := s.input()
	s.t.Must(s.t.protos.Parse(request, message), "building a message")
	if err := s.stream.SendMsg(message); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fail("sending: %v", err)
	}
}

// Close ends our side of the stream.
func (s *Stream) Close() { s.t.Must(s.stream.CloseSend(), "closing the stream") }

// Recv waits for a message; io.EOF is the good end.
func (s *Stream) Recv() (protos.Value, error) {
	message := s.output()
	if err := s.stream.RecvMsg(message); err != nil {
		return protos.Value{}, err
	}
	s.t.known(message)
	value, err := s.t.protos.Value(message)
	s.t.Must(err, "rendering a message")
	return value, nil
}

// Next is Recv for a message that must come.
func (s *Stream) Next() protos.Value {
	value, err := s.Recv()
	s.t.Must(err, "waiting for a message")
	return value
}

// All reads to the end: the messages, and nil or the error that the stream ended with.
func (s *Stream) All() ([]protos.Value, error) {
	var values []protos.Value
	for {
		value, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return values, err
		}
		values = append(values, value)
	}
}

// Whole is All for a stream that must end well.
func (s *Stream) Whole() []protos.Value {
	values, err := s.All()
	s.t.Must(err, "reading the stream")
	return values
}

// Data reads a stream of common.Data to its end.
func (s *Stream) Data() ([]byte, int) {
	var data []byte
	values := s.Whole()
	for _, value := range values {
		s.t.Check(len(value.At("bytes").Bytes()) <= 1024 || len(values) == 1, "a chunk has more than 1024 bytes")
		data = append(data, value.At("bytes").Bytes()...)
	}
	return data, len(values)
}

// Empty is a message without fields.
func (t *T) Empty() proto.Message {
	message, err := t.protos.Message("google.protobuf.Empty")
	t.Must(err, "making an empty message")
	return message
}
