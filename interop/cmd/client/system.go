package main

import (
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"talos-interop/internal/conn"
	"talos-interop/internal/probe"
	"talos-interop/internal/protos"
)

const machine = "machine.MachineService/"

// snapshot is a step that asks one control plane node for one thing and looks at the only element.
func (w *world) snapshot(rpc, request string, look func(t *probe.T, element protos.Value)) probe.Step {
	return probe.Step{Name: "machine." + rpc, Run: func(t *probe.T) {
		reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+rpc, request)
		elements := reply.At("messages").List()
		t.Check(len(elements) == 1, "%d elements", len(elements))
		look(t, elements[0])
	}}
}

func (w *world) system() []probe.Step {
	return []probe.Step{
		w.snapshot("Version", "", func(t *probe.T, e protos.Value) {
			t.Check(strings.HasPrefix(e.At("version.tag").String(), "v1."), "tag %s", e.At("version.tag"))
			t.Check(e.At("version.built").String() == "", "built %s", e.At("version.built"))
			t.Check(e.At("features.rbac").String() == "true", "features %s", e.At("features"))
			t.Check(e.At("platform.name").String() != "" && e.At("platform.mode").String() != "", "platform %s", e.At("platform"))
			t.See("%s, platform %s (%s)", e.At("version.tag"), e.At("platform.name"), e.At("platform.mode"))
		}),
		w.snapshot("Hostname", "", func(t *probe.T, e protos.Value) {
			t.Check(e.At("hostname").String() == w.planes[0].hostname, "%s", e)
			t.See("%s", e.At("hostname"))
		}),
		w.snapshot("Memory", "", func(t *probe.T, e protos.Value) {
			total, free := e.At("meminfo.memtotal").Int(), e.At("meminfo.memfree").Int()
			t.Check(total > 1<<20 && free > 0 && free < total, "%d KiB, %d free", total, free)
			t.See("%d KiB", total)
		}),
		w.snapshot("LoadAvg", "", func(t *probe.T, e protos.Value) {
			t.Check(e.At("load1").Float() >= 0 && e.At("load15").Present(), "%s", e)
			t.See("%s %s %s", e.At("load1"), e.At("load5"), e.At("load15"))
		}),
		w.snapshot("SystemStat", "", func(t *probe.T, e protos.Value) {
			boot := time.Unix(e.At("boot_time").Int(), 0)
			t.Check(boot.Before(time.Now()) && len(e.At("cpu").List()) > 0, "boot time %s, %d cpus", boot, len(e.At("cpu").List()))
			t.See("%d cpus", len(e.At("cpu").List()))
		}),
		w.snapshot("CPUInfo", "", func(t *probe.T, e protos.Value) {
			t.Check(e.At("cpu_info.0.model_name").String() != "", "%s", e)
			t.See("%s", e.At("cpu_info.0.model_name"))
		}),
		w.snapshot("CPUFreqStats", "", func(t *probe.T, e protos.Value) {
			t.Check(e.At("cpu_freq_stats").Present(), "%s", e)
			t.See("%d cpus", len(e.At("cpu_freq_stats").List()))
		}),
		w.snapshot("DiskStats", "", func(t *probe.T, e protos.Value) {
			t.Check(len(e.At("devices").List()) > 0 && e.At("total").Present(), "%s", e)
			t.See("%d devices", len(e.At("devices").List()))
		}),
		w.snapshot("NetworkDeviceStats", "", func(t *probe.T, e protos.Value) {
			t.Check(len(e.At("devices").List()) > 0 && e.At("total").Present(), "%s", e)
			t.See("%d devices", len(e.At("devices").List()))
		}),
		w.snapshot("Mounts", "", func(t *probe.T, e protos.Value) {
			found := false
			for _, mount := range e.At("stats").List() {
				t.Check(mount.At("available").Int() <= mount.At("size").Int(), "%s", mount)
				found = found || mount.At("mounted_on").String() == "/var"
			}
			t.Check(found, "nothing is mounted on /var: %s", e.At("stats"))
			t.See("%d mounts", len(e.At("stats").List()))
		}),
		w.snapshot("Processes", "", func(t *probe.T, e protos.Value) {
			found := false
			for _, process := range e.At("processes").List() {
				found = found || process.At("pid").Int() == 1
			}
			t.Check(found, "there is no process 1")
			t.See("%d processes", len(e.At("processes").List()))
		}),
		w.snapshot("Containers", `{"namespace":"k8s.io","driver":"CRI"}`, func(t *probe.T, e protos.Value) {
			t.Check(len(e.At("containers").List()) > 0, "no containers")
			for _, container := range e.At("containers").List() {
				t.Check(container.At("namespace").String() == "k8s.io", "%s", container)
			}
			t.See("%d containers", len(e.At("containers").List()))
		}),
		w.snapshot("Stats", `{"namespace":"k8s.io","driver":"CRI"}`, func(t *probe.T, e protos.Value) {
			t.Check(len(e.At("stats").List()) > 0, "no stats")
			t.See("%d containers", len(e.At("stats").List()))
		}),
		w.snapshot("LogsContainers", "", func(t *probe.T, e protos.Value) {
			found := false
			for _, id := range e.At("ids").List() {
				found = found || id.String() == "apid"
			}
			t.Check(found, "apid has no log: %s", e.At("ids"))
			t.See("%d logs", len(e.At("ids").List()))
		}),
		w.snapshot("Netstat", `{"filter":"ALL","feature":{"pid":true},"l4proto":{"tcp":true,"tcp6":true},"netns":{"hostnetwork":true}}`,
			func(t *probe.T, e protos.Value) {
				listening := false
				for _, record := range e.At("connectrecord").List() {
					listening = listening || record.At("localport").Int() == 50000
				}
				t.Check(listening, "nothing has port 50000: %s", e.At("connectrecord"))
				t.See("%d sockets", len(e.At("connectrecord").List()))
			}),
		{Name: "machine.Restart", Run: func(t *probe.T) {
			t.Refused(conn.ToNode(t.Context, w.planes[0].address), w.admin, machine+"Restart",
				`{"namespace":"k8s.io","id":"no/such:container:0123456789ab","driver":"CRI"}`,
				codes.Unknown, `container "no/such:container:0123456789ab" not found`)
		}},
		{Name: "machine.MetaWrite", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			t.Call(node, w.admin, machine+"MetaWrite", `{"key":12,"value":"aW50ZXJvcA=="}`)
			got := t.Call(node, w.admin, "cosi.resource.State/Get", `{"namespace":"runtime","type":"MetaKeys.runtime.talos.dev","id":"0x0c"}`)
			t.Check(strings.Contains(got.At("resource.spec.yaml_spec").String(), "interop"), "%s", got)
			t.Refused(node, w.admin, machine+"MetaWrite", `{"key":256,"value":"AA=="}`, codes.InvalidArgument, "key must be a uint8")
		}},
		{Name: "machine.MetaDelete", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			t.Call(node, w.admin, machine+"MetaDelete", `{"key":12}`)
			t.Refused(node, w.admin, machine+"MetaDelete", `{"key":12}`, codes.NotFound, "meta key not found")
		}},
		{Name: "inspect.ControllerRuntimeDependencies", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, "inspect.InspectService/ControllerRuntimeDependencies", "")
			edges := reply.At("messages.0.edges").List()
			t.Check(len(edges) > 0 && edges[0].At("controller_name").String() != "", "%s", reply)
			t.See("%d edges", len(edges))
		}},
		{Name: "time.Time", Run: func(t *probe.T) {
			reply := t.Call(conn.ToNode(t.Context, w.planes[0].address), w.admin, "time.TimeService/Time", "")
			_, err := time.Parse(time.RFC3339Nano, reply.At("messages.0.remotetime").String())
			t.Must(err, "reading the remote time")
			t.Check(reply.At("messages.0.server").String() != "", "%s", reply)
			t.See("%s", reply.At("messages.0.server"))
		}},
		{Name: "time.TimeCheck", Run: func(t *probe.T) {
			node := conn.ToNode(t.Context, w.planes[0].address)
			reply := t.Call(node, w.admin, "time.TimeService/TimeCheck", `{"server":"time.cloudflare.com"}`)
			t.Check(reply.At("messages.0.server").String() == "time.cloudflare.com", "%s", reply)
			t.Refused(node, w.admin, "time.TimeService/TimeCheck", "", codes.InvalidArgument, "ntp server is required")
		}},
	}
}
