package main

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

const (
	version  = "machine.MachineService/Version"
	hostname = "machine.MachineService/Hostname"
)

// everyone is all machines, control planes first.
func (w *world) everyone() []member { return append(append([]member{}, w.planes...), w.workers...) }

// dialOne connects to the endpoint with the index alone, the way one endpoint is dialled.
func (w *world) dialOne(t *probe.T, index int) *grpc.ClientConn {
	config, err := w.current.TLS()
	t.Must(err, "setting TLS up")
	channel, err := conn.Dial(w.current.Endpoints[index:index+1], config, w.log)
	t.Must(err, "dialling")
	return channel
}

func (w *world) routing() []probe.Step {
	return []probe.Step{
		{Name: "routing.round-robin", Run: func(t *probe.T) {
			answered := map[string]bool{}
			for range 20 * len(w.current.Endpoints) {
				answered[t.Call(t.Context, w.admin, hostname, "").At("messages.0.hostname").String()] = true
				if len(answered) == len(w.current.Endpoints) {
					break
				}
			}
			t.Check(len(answered) == len(w.current.Endpoints), "%d of %d endpoints answered", len(answered), len(w.current.Endpoints))
			t.See("%d endpoints answered", len(answered))
		}},
		{Name: "routing.endpoints", Run: func(t *probe.T) {
			w.endpoints = map[string]int{}
			for index := range w.current.Endpoints {
				channel := w.dialOne(t, index)
				w.endpoints[t.Call(t.Context, channel, hostname, "").At("messages.0.hostname").String()] = index
				t.Must(channel.Close(), "closing")
			}
			for _, plane := range w.planes {
				_, found := w.endpoints[plane.hostname]
				t.Check(found, "no endpoint is %s", plane.hostname)
			}
			t.See("every control plane node is an endpoint")
		}},
		{Name: "routing.one-endpoint", Run: func(t *probe.T) {
			channel := w.dialOne(t, 0)
			defer channel.Close()
			first := t.Call(t.Context, channel, hostname, "").At("messages.0.hostname").String()
			for range 5 {
				t.Check(t.Call(t.Context, channel, hostname, "").At("messages.0.hostname").String() == first, "another node answered")
			}
			t.See("%s answered six times", first)
		}},
		{Name: "routing.node", Run: func(t *probe.T) {
			for _, machine := range w.everyone() {
				reply := t.Call(conn.ToNode(t.Context, machine.address), w.admin, hostname, "")
				t.Check(reply.At("messages.0.hostname").String() == machine.hostname, "%s answered for %s",
					reply.At("messages.0.hostname"), machine.hostname)
				t.Check(!reply.At("messages.0.metadata").Present(), "metadata was added")
			}
			t.See("%d machines by address, no metadata", len(w.everyone()))
		}},
		{Name: "routing.node-by-name", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.workers[0].hostname), w.admin, hostname, "")
			t.Check(reply.At("messages.0.hostname").String() == w.workers[0].hostname, "%s", reply.At("messages.0.hostname"))
			t.See("%s", w.workers[0].hostname)
		}},
		{Name: "routing.nodes", Run: func(t *probe.T) {
			names := []string{w.planes[0].address, w.planes[1].address, w.workers[0].address}
			reply := t.Call(conn.ToNodes(t.Context, names...), w.admin, version, "")
			elements := reply.At("messages").List()
			t.Check(len(elements) == len(names), "%d elements", len(elements))
			seen := map[string]bool{}
			for _, element := range elements {
				seen[element.At("metadata.hostname").String()] = true
				t.Check(element.At("version.tag").String() != "" && element.At("metadata.error").String() == "", "%s", element)
			}
			for _, name := range names {
				t.Check(seen[name], "%s is missing", name)
			}
			t.See("%d elements with the names asked for", len(elements))
		}},
		{Name: "routing.nodes-partial", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNodes(t.Context, w.planes[0].address, "10.5.77.77"), w.admin, version, "")
			elements := reply.At("messages").List()
			t.Check(len(elements) == 2, "%d elements", len(elements))
			for _, element := range elements {
				if element.At("metadata.hostname").String() != "10.5.77.77" {
					continue
				}
				t.Check(element.At("metadata.status.code").Int() == int64(codes.Unavailable), "status %s", element.At("metadata.status"))
				text := element.At("metadata.error").String()
				t.Check(strings.HasPrefix(text, "rpc error: code = Unavailable desc = "), "error %q", text)
				t.See("%s", text)
				return
			}
			t.Fail("the node that is down has no element")
		}},
		{Name: "routing.nodes-stream", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNodes(t.Context, w.planes[0].address, w.workers[0].address), w.admin,
				"machine.MachineService/List", `{"root":"/etc"}`)
			seen := map[string]int{}
			for _, item := range stream.Whole() {
				seen[item.At("metadata.hostname").String()]++
			}
			t.Check(len(seen) == 2 && seen[w.planes[0].address] > 0 && seen[w.workers[0].address] > 0, "%v", seen)
			t.See("items of %d nodes", len(seen))
		}},
		{Name: "routing.nodes-refused", Run: func(t *probe.T) {
			t.Refused(conn.ToNodes(t.Context, w.planes[0].address), w.admin, "cosi.resource.State/Get",
				`{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`,
				codes.InvalidArgument, "one-2-many proxying is not supported for method /cosi.resource.State/Get")
		}},
		{Name: "routing.node-twice", Run: func(t *probe.T) {
			ctx := conn.ToNode(conn.ToNode(t.Context, w.planes[0].address), w.planes[1].address)
			t.Refused(ctx, w.admin, version, "", codes.InvalidArgument, "node metadata must be single-valued")
		}},
		{Name: "routing.node-with-port", Run: func(t *probe.T) {
			target := w.planes[0].address + ":50000"
			t.Refused(conn.ToNode(t.Context, target), w.admin, version, "", codes.Internal, `invalid target "`+target+`"`)
		}},
		{Name: "routing.node-unreachable", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, "10.5.77.77"), w.admin, version, "", codes.Unavailable, "connection error")
		}},
		{Name: "routing.proxyfrom", Run: func(t *probe.T) {
			channel := w.dialOne(t, 0)
			defer channel.Close()
			own := t.Call(t.Context, channel, hostname, "").At("messages.0.hostname").String()
			other := w.workers[0]
			ctx := metadata.AppendToOutgoingContext(conn.ToNode(t.Context, other.address), "proxyfrom", "elsewhere")
			got := t.Call(ctx, channel, hostname, "").At("messages.0.hostname").String()
			t.Check(got == own, "%s answered for the endpoint %s", got, own)
			t.See("proxyfrom keeps the call on the endpoint")
		}},
		{Name: "routing.unknown-method", Run: func(t *probe.T) {
			input, output := t.Empty(), t.Empty()
			err := w.admin.Invoke(conn.ToNode(t.Context, w.planes[0].address), "/machine.MachineService/NoSuchMethod", input, output)
			t.Status(err, codes.Unimplemented, "")
		}},
	}
}
