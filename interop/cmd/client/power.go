package main

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
)

const bootID = "/proc/sys/kernel/random/boot_id"

// back waits until node runs again with another boot id.
func (w *world) back(t *probe.T, node, before string) {
	for {
		data, err := t.Server(conn.ToNode(t.Context, node), w.admin, machine+"Read", `{"path":"`+bootID+`"}`).All()
		if err == nil && len(data) > 0 && strings.TrimSpace(string(data[0].At("bytes").Bytes())) != before {
			break
		}
		pause(t)
	}
	for {
		reply, err := t.Unary(conn.ToNode(t.Context, node), w.admin, state+"Get",
			`{"namespace":"runtime","type":"MachineStatuses.runtime.talos.dev","id":"machine"}`)
		if err == nil && strings.Contains(reply.At("resource.spec.yaml_spec").String(), "stage: running") {
			return
		}
		pause(t)
	}
}

// pause waits a little, or ends the step when its time is up.
func pause(t *probe.T) {
	select {
	case <-t.Context.Done():
		t.Fail("%v", t.Context.Err())
	case <-time.After(50 * time.Millisecond):
	}
}

// boot reads the boot id.
func (w *world) boot(t *probe.T, node string) string {
	return strings.TrimSpace(w.readFile(t, conn.ToNode(t.Context, node), bootID))
}

// release asks what a node runs.
func (w *world) release(t *probe.T, node string) string {
	return t.Call(conn.ToNode(t.Context, node), w.admin, version, "").At("messages.0.version.tag").String()
}

// machineConfig reads the active configuration.
func (w *world) machineConfig(t *probe.T, node string) string {
	reply := t.Call(conn.ToNode(t.Context, node), w.admin, state+"Get",
		`{"namespace":"config","type":"MachineConfigs.config.talos.dev","id":"v1alpha1"}`)
	var text string
	t.Must(yaml.Unmarshal([]byte(reply.At("resource.spec.yaml_spec").String()), &text), "reading the configuration")
	return text
}

func apply(config, rest string) string {
	return `{"data":"` + base64.StdEncoding.EncodeToString([]byte(config)) + `"` + rest + `}`
}

func (w *world) power() []probe.Step {
	const applyPath = machine + "ApplyConfiguration"
	const newer = "ghcr.io/siderolabs/installer:v1.14.1"
	var before, release string
	return []probe.Step{
		{Name: "machine.ApplyConfiguration", Run: func(t *probe.T) {
			node := w.planes[0].address
			reply := t.Call(conn.ToNode(t.Context, node), w.admin, applyPath, apply(w.machineConfig(t, node), `,"mode":"AUTO"`))
			t.Check(reply.At("messages.0.mode").String() == "NO_REBOOT", "mode %s", reply.At("messages.0.mode"))
			t.Check(reply.At("messages.0.mode_details").String() == "Applied configuration without a reboot", "%s", reply)
			t.See("%s", reply.At("messages.0.mode_details"))
		}},
		{Name: "machine.ApplyConfiguration.dry-run", Run: func(t *probe.T) {
			node := w.planes[0].address
			reply := t.Call(conn.ToNode(t.Context, node), w.admin, applyPath, apply(w.machineConfig(t, node), `,"mode":"NO_REBOOT","dry_run":true`))
			details := reply.At("messages.0.mode_details").String()
			t.Check(strings.HasPrefix(details, "Dry run summary:\n") && strings.Contains(details, "No changes."), "%q", details)
			t.See("%q", details)
		}},
		{Name: "machine.ApplyConfiguration.default-mode", Run: func(t *probe.T) {
			node := w.planes[0].address
			t.Refused(conn.ToNode(t.Context, node), w.admin, applyPath, apply(w.machineConfig(t, node), ""), codes.Unimplemented,
				"the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead")
		}},
		{Name: "machine.ApplyConfiguration.garbage", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, applyPath, apply("a: [", `,"mode":"AUTO"`),
				codes.InvalidArgument, "")
		}},
		{Name: "machine.Reboot", Run: w.reboot},
		{Name: "machine.Upgrade", Run: func(t *probe.T) {
			node := w.workers[0].address
			before, release = w.boot(t, node), w.release(t, node)
			reply := t.Call(conn.ToNode(t.Context, node), w.admin, machine+"Upgrade", `{"image":"`+newer+`"}`)
			t.Check(reply.At("messages.0.ack").String() == "Upgrade request received", "%s", reply)
			t.Check(len(reply.At("messages.0.actor_id").String()) == 36, "%s", reply)
			w.back(t, node, before)
			t.Check(strings.HasSuffix(newer, ":"+w.release(t, node)), "it runs %s", w.release(t, node))
			t.See("%s, then a new boot id and %s", reply.At("messages.0.ack"), w.release(t, node))
		}},
		{Name: "machine.Rollback", Run: func(t *probe.T) {
			node := w.workers[0].address
			before = w.boot(t, node)
			t.Call(conn.ToNode(t.Context, node), w.admin, machine+"Rollback", "")
			w.back(t, node, before)
			t.Check(w.release(t, node) == release, "it runs %s, not %s", w.release(t, node), release)
			t.See("a new boot id, and the release before")
		}},
		{Name: "machine.Shutdown", Run: func(t *probe.T) {
			node := w.workers[len(w.workers)-1].address
			reply := t.Call(conn.ToNode(t.Context, node), w.admin, machine+"Shutdown", "")
			t.Check(len(reply.At("messages.0.actor_id").String()) == 36, "%s", reply)
			for {
				_, err := t.Unary(conn.ToNode(t.Context, node), w.admin, version, "")
				if status.Code(err) == codes.Unavailable {
					break
				}
				pause(t)
			}
			t.See("the node is gone")
		}},
	}
}

// reboot follows a reboot the way talosctl's action tracker does.
func (w *world) reboot(t *probe.T) {
	node := w.planes[1].address
	before := w.boot(t, node)
	ctx, cancel := context.WithCancel(conn.ToNode(t.Context, node))
	defer cancel()
	events := t.Server(ctx, w.admin, machine+"Events", "")
	events.Next()
	reply := t.Call(conn.ToNode(t.Context, node), w.admin, machine+"Reboot", "")
	actor := reply.At("messages.0.actor_id").String()
	t.Check(len(actor) == 36, "actor %q", actor)
	var seen []string
	for {
		event, err := events.Recv()
		if err != nil {
			t.Check(status.Code(err) == codes.Unavailable || err.Error() == "EOF", "the events ended with %v", err)
			break
		}
		if event.At("actor_id").String() != actor {
			continue
		}
		if name := event.At("data.sequence").String(); name != "" {
			seen = append(seen, name+" "+event.At("data.action").String())
		}
		if name := event.At("data.task").String(); name == "stopAllServices" {
			seen = append(seen, name)
		}
	}
	text := strings.Join(seen, ", ")
	t.Check(strings.HasPrefix(text, "reboot START"), "events %q", text)
	t.Check(strings.Contains(text, "stopAllServices"), "events %q", text)
	w.back(t, node, before)
	t.See("%s, end of the stream, a new boot id", text)
}
