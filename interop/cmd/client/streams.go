package main

import (
	"context"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

var kernelLine = regexp.MustCompile(`^[a-z0-9]+: +[a-z]+: \[\d{4}-\d\d-\d\dT[0-9:.]+Z\]: .*\n$`)

func (w *world) streams() []probe.Step {
	return []probe.Step{
		{Name: "machine.Logs", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			all, _ := t.Server(node, w.admin, machine+"Logs", `{"namespace":"system","id":"apid","tail_lines":-1}`).Data()
			none, _ := t.Server(node, w.admin, machine+"Logs", `{"namespace":"system","id":"apid"}`).Data()
			t.Check(len(all) > 0 && len(none) == 0, "%d bytes with tail -1, %d with tail 0", len(all), len(none))
			one, _ := t.Server(node, w.admin, machine+"Logs", `{"namespace":"system","id":"apid","tail_lines":1}`).Data()
			t.Check(strings.Count(string(one), "\n") == 1, "%d lines with tail 1", strings.Count(string(one), "\n"))
			t.See("%d lines", strings.Count(string(all), "\n"))
		}},
		{Name: "machine.Logs.follow", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(conn.ToNode(t.Context, w.planes[0].address))
			defer cancel()
			stream := t.Server(ctx, w.admin, machine+"Logs", `{"namespace":"system","id":"apid","follow":true,"tail_lines":1}`)
			stream.Next()
			// A finished call is one more line in the log of apid.
			t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, hostname, "")
			for text := ""; !strings.Contains(text, "/machine.MachineService/Hostname"); {
				text += string(stream.Next().At("bytes").Bytes())
			}
			cancel()
			_, err := stream.All()
			t.Check(status.Code(err) == codes.Canceled, "after cancelling: %v", err)
			t.See("a call shows in the followed log")
		}},
		{Name: "machine.Logs.unknown", Run: func(t *probe.T) {
			_, err := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Logs",
				`{"namespace":"system","id":"nope","tail_lines":-1}`).All()
			t.Status(err, codes.Unknown, `log "nope" was not registered`)
		}},
		{Name: "machine.Dmesg", Run: func(t *probe.T) {
			values := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Dmesg", "").Whole()
			t.Check(len(values) > 0, "no messages")
			for _, value := range values {
				line := string(value.At("bytes").Bytes())
				t.Check(kernelLine.MatchString(line), "line %q", line)
			}
			t.See("%d messages", len(values))
		}},
		{Name: "machine.Events.hello", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(conn.ToNode(t.Context, w.planes[0].address))
			defer cancel()
			stream := t.Server(ctx, w.admin, machine+"Events", `{"with_actor_id":"00000000-0000-4000-8000-000000000000"}`)
			hello := stream.Next()
			t.Check(hello.At("data.@type").String() == "" && hello.At("data").Present(), "data %s", hello.At("data"))
			t.Check(len(hello.At("id").String()) == 20, "id %q", hello.At("id"))
			t.Check(hello.At("actor_id").String() == "00000000-0000-4000-8000-000000000000", "actor %s", hello.At("actor_id"))
			t.See("an empty event with a fresh id")
		}},
		{Name: "machine.Events", Run: func(t *probe.T) {
			ctx, cancel := context.WithCancel(conn.ToNode(t.Context, w.planes[0].address))
			defer cancel()
			stream := t.Server(ctx, w.admin, machine+"Events", `{"tail_events":-1}`)
			stream.Next()
			types := map[string]bool{}
			for last := ""; !types["machine.MachineStatusEvent"]; {
				event := stream.Next()
				prefix, name, _ := strings.Cut(event.At("data.@type").String(), "/runtime/")
				t.Check(prefix == "talos", "type %s", event.At("data.@type"))
				t.Check(event.At("id").String() > last, "id %s after %s", event.At("id"), last)
				last = event.At("id").String()
				types[name] = true
			}
			t.See("events up to a MachineStatusEvent")
		}},
		{Name: "machine.Events.options", Run: func(t *probe.T) {
			stream := t.Server(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Events", `{"tail_events":1,"tail_seconds":1}`)
			stream.Next()
			_, err := stream.Recv()
			t.Status(err, codes.Unknown, "can't be specified at the same time with")
		}},
		{Name: "machine.Events.deadline", Run: func(t *probe.T) {
			ctx, cancel := context.WithTimeout(conn.ToNode(t.Context, w.planes[0].address), time.Second)
			defer cancel()
			stream := t.Server(ctx, w.admin, machine+"Events", "")
			_, err := stream.All()
			t.Status(err, codes.DeadlineExceeded, "")
		}},
	}
}

func (w *world) services() []probe.Step {
	return []probe.Step{
		{Name: "machine.ServiceList", Run: func(t *probe.T) {
			list := func(target member) []string {
				reply := t.Call(conn.ToNode(t.Context, target.address), w.admin, machine+"ServiceList", "")
				var ids []string
				for _, service := range reply.At("messages.0.services").List() {
					ids = append(ids, service.At("id").String())
					t.Check(service.At("state").String() != "" && len(service.At("events.events").List()) > 0, "%s", service)
				}
				return ids
			}
			plane, worker := strings.Join(list(w.planes[0]), " "), strings.Join(list(w.workers[0]), " ")
			t.Check(plane == "apid auditd containerd cri dashboard etcd kubelet machined syslogd trustd udevd", "control plane: %s", plane)
			t.Check(worker == "apid auditd containerd cri dashboard kubelet machined syslogd udevd", "worker: %s", worker)
			t.See("control plane and worker as they should be")
		}},
		{Name: "machine.ServiceRestart", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.workers[0].address)
			reply := t.Call(node, w.admin, machine+"ServiceRestart", `{"id":"kubelet"}`)
			t.Check(reply.At("messages.0.resp").String() == `Service "kubelet" restarted`, "%s", reply)
			t.Refused(node, w.admin, machine+"ServiceRestart", `{"id":"apid"}`, codes.Unknown, `service "apid" doesn't support restart operation via API`)
		}},
		{Name: "machine.ServiceStart", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.workers[0].address)
			reply := t.Call(node, w.admin, machine+"ServiceStart", `{"id":"kubelet"}`)
			t.Check(reply.At("messages.0.resp").String() == `Service "kubelet" started`, "%s", reply)
			t.Refused(node, w.admin, machine+"ServiceStart", `{"id":"nope"}`, codes.Unknown, `service "nope" not defined`)
		}},
		{Name: "machine.ServiceStop", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.workers[0].address), w.admin, machine+"ServiceStop", `{"id":"kubelet"}`,
				codes.Unknown, `service "kubelet" doesn't support stop operation via API`)
		}},
	}
}
